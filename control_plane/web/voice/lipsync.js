/**
 * Lips and voice of one person together: of sound and picture, whichever is ahead is held back a little in its jitter buffer
 * (RTCRtpReceiver.jitterBufferTarget), in small steps, so that nobody notices the correction either.
 *
 * Both slots are in the node's clock, so estimatedPlayoutTimestamp (W3C webrtc-stats) says of each which moment is played now.
 */

const NOTICED_MS = 45; // ITU-R BT.1359: sound that is ahead by more is noticed; the other way round people bear more
const STEP_MS = 40; // what a jitter buffer stretches to within a look without being heard
const MOST_MS = 500; // beyond that, waiting disturbs more than lips do

/** How far one may be from the other, and what the jitter buffers are told then: {audio, video} in ms. */
export function step({ ahead, audio, video }) {
  if (Math.abs(ahead) < NOTICED_MS) return { audio: audio.target, video: video.target };
  const by = Math.min(Math.abs(ahead) / 2, STEP_MS);
  const [early, late] = ahead > 0 ? [audio, video] : [video, audio];
  // What holds back the late one is let go first: the less delay, the better one talks.
  const released = Math.max(0, late.target - by);
  const rest = late.target > 0 ? 0 : by;
  const held = rest ? Math.min(MOST_MS, Math.max(early.target, early.delay) + rest) : early.target;
  return ahead > 0 ? { audio: held, video: released } : { audio: released, video: held };
}

export class LipSync {
  #before = new Map(); // mid → {delay, count}: what was counted at the last look
  #targets = new Map(); // RTCRtpReceiver → ms

  /** `pairs`: [{audio, video}], each {mid, receiver}, of the slots that carry the same person now; `report`: RTCStats[]. */
  look(report, pairs) {
    const inbound = new Map(report.filter(({ type }) => type === "inbound-rtp").map((each) => [each.mid, each]));
    const mine = new Set();
    for (const { audio, video } of pairs) {
      const sound = this.#measure(audio, inbound.get(audio.mid));
      const picture = this.#measure(video, inbound.get(video.mid));
      if (!sound || !picture) continue;
      mine.add(audio.receiver).add(video.receiver);
      const targets = step({ ahead: sound.moment - picture.moment, audio: sound, video: picture });
      this.#tell(audio.receiver, targets.audio);
      this.#tell(video.receiver, targets.video);
    }
    for (const receiver of [...this.#targets.keys()]) if (!mine.has(receiver)) this.#tell(receiver, 0);
  }

  /** {moment, delay, target} in ms; null where the browser does not say. */
  #measure({ mid, receiver }, stats) {
    const moment = stats?.estimatedPlayoutTimestamp;
    if (!moment || !("jitterBufferTarget" in receiver)) return null;
    const { delay: before = 0, count: countBefore = 0 } = this.#before.get(mid) ?? {};
    const [delay, count] = [stats.jitterBufferDelay ?? 0, stats.jitterBufferEmittedCount ?? 0];
    this.#before.set(mid, { delay, count });
    if (count <= countBefore) return null; // nothing was played since, or another transport counts anew
    return { moment, delay: (1000 * (delay - before)) / (count - countBefore), target: this.#targets.get(receiver) ?? 0 };
  }

  #tell(receiver, target) {
    if ((this.#targets.get(receiver) ?? 0) === target) return;
    if (target) this.#targets.set(receiver, target);
    else this.#targets.delete(receiver);
    receiver.jitterBufferTarget = target || null; // null: as the browser likes
  }
}
