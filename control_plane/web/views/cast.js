/** Who is on the stage: which cameras and screens get a tile, and what is asked of the node for each. */

export const MOST_REMOTE = 9; // the video slots of proto/signalling.py

const PRIORITY = { chosen: 200, screen: 150, speaking: 100, rest: 50 };
const WIDEST = 7680; // as in proto/signalling.py
const ALIKE = 0.03; // shapes that differ by less are one and the same, rounded to pixels

/**
 * The tiles of those who are `present` (voiceOf), in an order that stays: [{key, sessionId, userId, kind, csrc, isSelf, …}]. Of more
 * than nine of others the pinned one, the screens, and those whose voice was `heardLast` (session id → when) stay.
 */
export function castOf(present, { pinned, heardLast }) {
  const all = present.flatMap((person) =>
    ["screen", "camera"]
      .filter((kind) => person[kind] !== null)
      .map((kind) => ({ ...person, kind, csrc: person[kind], key: `${person.sessionId} ${kind}` })),
  );
  const rank = ({ key, kind, sessionId, speaking }) => {
    if (key === pinned) return Infinity;
    if (kind === "screen") return Number.MAX_VALUE;
    return speaking ? Number.MAX_SAFE_INTEGER : (heardLast.get(sessionId) ?? 0);
  };
  const remote = all.filter(({ isSelf }) => !isSelf);
  const chosen = new Set([...remote].sort((a, b) => rank(b) - rank(a)).slice(0, MOST_REMOTE));
  const kept = all.filter((each) => each.isSelf || chosen.has(each));
  return [...kept.filter(({ kind }) => kind === "screen"), ...kept.filter(({ kind }) => kind === "camera")];
}

/**
 * What `Watch` asks for a tile that is drawn `width` × `height` CSS px; `ratio` is that of the picture, null while there is none. A
 * camera covers its tile, a screen fits into it.
 */
export function wishOf({ csrc, kind, speaking }, { width, height, ratio, density, isChosen, isSeen }) {
  if (!(width > 0 && height > 0)) return { csrc, width: 1, priority: PRIORITY.rest, paused: true };
  const shape = ratio && Math.abs(ratio - width / height) > ALIKE ? ratio : width / height;
  const drawn = kind === "camera" ? Math.max(width, height * shape) : Math.min(width, height * shape);
  const priority = isChosen ? "chosen" : kind === "screen" ? "screen" : speaking ? "speaking" : "rest";
  return {
    csrc,
    width: Math.min(WIDEST, Math.max(1, Math.round(drawn * density))),
    priority: PRIORITY[priority],
    paused: !isSeen,
  };
}
