/**
 * Whose picture is shown in each video slot at this moment.
 *
 * As with sound, the CSRC of the frame that is being shown is the truth, and the node's word counts from its RTP timestamp on for
 * frames without one. Unlike sound, an empty slot has no packets at all: that it is empty counts when it is told.
 */

import { newest, reached } from "./slots.js";

const LOOK_MS = 40; // a frame at 25 a second
const MOST_COMING = 8;

export class VideoSlots {
  #slots = []; // {csrc: shown now, told: VideoState, coming: [VideoState]}
  #timer;

  /** `receivers()`: RTCRtpReceiver[], by slot. `onchange()`: something is shown otherwise, or told otherwise. */
  constructor(receivers, onchange) {
    this.#timer = setInterval(() => {
      if (this.#look(receivers())) onchange();
    }, LOOK_MS);
  }

  close() {
    clearInterval(this.#timer);
  }

  /** The `videos` of a frame. */
  announce(states) {
    for (const state of states) {
      const slot = (this.#slots[state.slot] ??= { csrc: null, told: state, coming: [] });
      slot.told = state;
      slot.coming = state.csrc === null ? [] : [...slot.coming, state].slice(-MOST_COMING);
      if (state.csrc === null) slot.csrc = null;
    }
  }

  /** What was known of another room is void. */
  clear() {
    this.#slots = [];
  }

  /** By slot: {csrc, encoding, spatial, temporal, limit}, csrc null while nothing of it is shown. */
  get shown() {
    return Object.fromEntries(
      Object.entries(this.#slots).map(([index, { csrc, told: { slot: _, rtp_timestamp: __, ...layers } }]) => [
        index,
        { ...layers, csrc },
      ]),
    );
  }

  #look(receivers) {
    let changed = false;
    for (const [index, slot] of this.#slots.entries()) {
      if (!slot || slot.told.csrc === null || !receivers[index]) continue;
      const csrc = played(slot, receivers[index]);
      changed ||= csrc !== slot.csrc;
      slot.csrc = csrc;
    }
    return changed;
  }
}

function played(slot, receiver) {
  const frame = newest(receiver.getSynchronizationSources());
  if (!frame) return null;
  let { csrc } = slot;
  while (slot.coming.length && reached(frame.rtpTimestamp, slot.coming[0].rtp_timestamp)) ({ csrc } = slot.coming.shift());
  const contributor = newest(receiver.getContributingSources());
  return contributor && contributor.rtpTimestamp === frame.rtpTimestamp ? contributor.source : csrc;
}
