/**
 * How well each person arrives, and what keeps it from being better: from what the browser counts of the slots they are in, and from
 * what the node says of the pictures it sends.
 */

import { LIMITS, share, worst } from "./quality.js";

const KEPT = 6; // looks back: freezes are counted over about ten seconds, as one forgets them sooner than that

/** From which figure on a picture is fair, and from which poor. */
const PICTURE_LIMITS = {
  frozen: [0.01, 0.06], // share of the time
  lost: [0.05, 0.15], // repair makes up for most of it
};
const SLOW = [12, 5]; // frames a second of a camera: below that, and below that
const SMALL = 480; // px across: who sends no more than that of a camera has a reason

const COUNTED = ["packetsReceived", "packetsLost", "bytesReceived", "framesDecoded", "freezeCount", "totalFreezesDuration"];
const SOUND = ["totalSamplesReceived", "concealedSamples", "silentConcealedSamples"];

export class Reception {
  #before = new Map(); // mid → {csrc, looks: [{timestamp, …counts}]}

  /**
   * `report`: RTCStats[]. `slots`: [{mid, csrc, kind: "audio" | "video", state: VideoState of a video slot}]. `people`: [{session_id,
   * csrc, screen_csrc}]. `own`: figures of quality.js, as far as they are known. Returns by session id {grade, blame: null | "mine" |
   * "theirs", lost, concealed, roundTrip, rate (kb/s, of all that comes), camera, screen}; pictures {width, height, fps, frozen,
   * freezes, codec, limit} or null. Of whom nothing is received, nothing is said.
   */
  look(report, slots, people, own) {
    const byId = new Map(report.map((each) => [each.id, each]));
    const inbound = new Map(report.filter(({ type }) => type === "inbound-rtp").map((each) => [each.mid, each]));
    const measured = slots.flatMap((slot) => {
      const stats = inbound.get(slot.mid);
      const change = stats && slot.csrc !== null ? this.#changeOf(slot, stats) : this.#forget(slot);
      return change ? [{ ...slot, stats, change, codec: byId.get(stats.codecId)?.mimeType?.split("/")[1] ?? null }] : [];
    });
    const rate = measured.reduce((sum, { change }) => sum + kilobits(change), 0);
    const known = people.map((person) => [person.session_id, ofPerson(person, measured)]).filter(([, each]) => each);
    return Object.fromEntries(known.map(([id, each]) => [id, { ...judged(each, own), roundTrip: own?.roundTrip ?? null, rate }]));
  }

  #forget({ mid }) {
    this.#before.delete(mid);
    return null;
  }

  /** What was counted in this slot since the oldest look that is kept, null at the first one. */
  #changeOf({ mid, csrc }, stats) {
    const counts = { timestamp: stats.timestamp };
    for (const name of [...COUNTED, ...SOUND]) counts[name] = stats[name] ?? 0;
    const before = this.#before.get(mid);
    const goesOn = before?.csrc === csrc && before.looks.at(-1).packetsReceived <= counts.packetsReceived;
    const looks = goesOn ? [...before.looks, counts].slice(-KEPT) : [counts];
    this.#before.set(mid, { csrc, looks });
    if (looks.length < 2) return null;
    return Object.fromEntries(Object.entries(counts).map(([name, value]) => [name, value - looks[0][name]]));
  }
}

const kilobits = ({ bytesReceived, timestamp }) => (timestamp > 0 ? (8 * bytesReceived) / timestamp : 0);

function ofPerson({ csrc, screen_csrc: screenCsrc }, measured) {
  const mine = measured.filter((each) => each.csrc === csrc || each.csrc === screenCsrc);
  if (!mine.length) return null;
  const sum = (name) => mine.reduce((total, { change }) => total + change[name], 0);
  const picture = (of) => pictureOf(mine.find((each) => each.kind === "video" && each.csrc === of));
  const silent = sum("silentConcealedSamples");
  return {
    lost: share(sum("packetsLost"), sum("packetsLost") + sum("packetsReceived")),
    concealed: share(sum("concealedSamples") - silent, sum("totalSamplesReceived") - silent),
    camera: picture(csrc),
    screen: picture(screenCsrc),
  };
}

function pictureOf(slot) {
  if (!slot) return null;
  const { stats, change, codec, state } = slot;
  return {
    width: stats.frameWidth ?? 0,
    height: stats.frameHeight ?? 0,
    fps: Math.round((1000 * change.framesDecoded) / change.timestamp),
    frozen: share(change.totalFreezesDuration, change.timestamp / 1000),
    freezes: change.freezeCount,
    codec,
    limit: state.limit,
  };
}

function judged(figures, own) {
  const { camera, screen, lost, concealed } = figures;
  const pictures = [camera, screen].filter(Boolean);
  const isSmall = camera?.limit === "source" && camera.width > 0 && camera.width < SMALL;
  const reduced = pictures.some(({ limit }) => limit === "bandwidth");
  const grade = worst([
    level(lost, pictures.length ? PICTURE_LIMITS.lost : LIMITS.lostIn),
    level(concealed, LIMITS.concealed),
    ...pictures.map(({ frozen }) => level(frozen, PICTURE_LIMITS.frozen)),
    camera ? SLOW.filter((limit) => camera.fps < limit).length : 0,
    reduced || isSmall ? 1 : 0,
  ]);
  const ownIsBad = own ? own.lostIn >= LIMITS.lostIn[0] || own.roundTrip >= LIMITS.roundTrip[0] : false;
  const blame = grade === "good" ? null : reduced || ownIsBad ? "mine" : "theirs";
  return { grade, blame, ...figures };
}

const level = (figure, limits) => limits.filter((limit) => figure >= limit).length;
