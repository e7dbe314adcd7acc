/** In which video slot one watches whom. */

import { VIDEO_SLOTS } from "./transport.js";

/**
 * The wishes of a `Watch`: each of `wanted` ({csrc, width, priority, paused}) with its slot, in the order of the slots. Who had a slot
 * in `before` (csrc → slot) keeps it, as a picture that moves to another one would begin anew. At most as many as there are slots.
 */
export function assign(before, wanted) {
  const some = wanted.slice(0, VIDEO_SLOTS);
  const taken = new Map(some.filter(({ csrc }) => csrc in before).map(({ csrc }) => [csrc, before[csrc]]));
  const used = new Set(taken.values());
  const free = Array.from({ length: VIDEO_SLOTS }, (_, slot) => slot).filter((slot) => !used.has(slot));
  return some
    .map((each) => ({ slot: taken.get(each.csrc) ?? free.shift(), ...each }))
    .sort((a, b) => a.slot - b.slot);
}
