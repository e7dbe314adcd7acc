/**
 * Who is played in each slot at this moment.
 *
 * The CSRC of the packet that is being played is the truth. The node's slot map says the same earlier, with the RTP timestamp from
 * which it holds; it counts when that timestamp is played, for packets that carry no CSRC.
 */

const LOOK_MS = 20; // one packet
const MOST_COMING = 8; // more than can happen within the longest jitter buffer
const IDLE_LOOKS = 10; // a slot that is free, as far as one knows, is looked at only so often

/** Whether RTP timestamp `a` is not before `b`, on their circle of 2³² (RFC 3550 §5.1). */
export const reached = (a, b) => ((a - b) | 0) >= 0;

export const newest = (sources) =>
  sources.reduce((best, each) => (best === null || each.timestamp > best.timestamp ? each : best), null);

export class Slots {
  #slots = []; // {csrc, coming: [{csrc, rtp_timestamp}]}
  #timer;
  #looks = 0;

  /** `receivers()`: RTCRtpReceiver[], by slot. `onchange(slot, csrc)`: someone else is played there, or nobody (null). */
  constructor(receivers, onchange) {
    this.#timer = setInterval(() => this.#look(receivers(), onchange), LOOK_MS);
  }

  close() {
    clearInterval(this.#timer);
  }

  /** The `slots` of a frame. */
  announce(states) {
    for (const { slot, csrc, rtp_timestamp: timestamp } of states) {
      const { coming } = this.#slot(slot);
      coming.push({ csrc, timestamp });
      if (coming.length > MOST_COMING) coming.shift();
    }
  }

  /** What was known of another room is void. */
  clear() {
    this.#slots = [];
  }

  csrcOf(slot) {
    return this.#slots[slot]?.csrc ?? null;
  }

  #slot(index) {
    return (this.#slots[index] ??= { csrc: null, coming: [] });
  }

  #look(receivers, onchange) {
    this.#looks += 1;
    for (const [index, receiver] of receivers.entries()) {
      const slot = this.#slot(index);
      if (slot.csrc === null && slot.coming.length === 0 && this.#looks % IDLE_LOOKS) continue;
      const csrc = this.#played(slot, receiver);
      if (csrc === slot.csrc) continue;
      slot.csrc = csrc;
      onchange(index, csrc);
    }
  }

  #played(slot, receiver) {
    const packet = newest(receiver.getSynchronizationSources());
    const contributor = newest(receiver.getContributingSources());
    if (!packet) return null;
    let { csrc } = slot;
    while (slot.coming.length && reached(packet.rtpTimestamp, slot.coming[0].timestamp)) {
      csrc = slot.coming.shift().csrc;
    }
    // A contributor is listed for ten seconds after its last packet: it is the present one only with the present timestamp.
    return contributor && contributor.rtpTimestamp === packet.rtpTimestamp ? contributor.source : csrc;
  }
}
