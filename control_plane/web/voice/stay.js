/** One stay at one media node: signalling and transport, opened together and closed together. */

import { Signalling } from "./signalling.js";
import { Speakers } from "./speakers.js";
import { Transport } from "./transport.js";

const RECOVER_MS = 4_000; // ICE mends a short break by itself

export class Stay {
  #on;
  #own; // () → {track, level, muted}
  #signalling = null;
  #transport = null;
  #speakers = null;
  #participants = new Map(); // session id → Participant
  #sessionId = null;
  #recovering = 0;
  #closed = false;

  /**
   * `own()`: the present microphone as {track, level, muted}, track null without one. `on`: participants(by session id),
   * speaking(by session id), ping(ms), blocked(), ended(reason), lost() when one has to join again.
   */
  constructor(own, on) {
    this.#own = own;
    this.#on = on;
  }

  get sessionId() {
    return this.#sessionId;
  }

  /** Resolves when one can hear and be heard. Throws what the transport and the signalling throw; then it is closed. */
  async enter(admission) {
    try {
      this.#transport = new Transport(admission.ice_servers, this.#own().track, {
        state: (state) => this.#transportState(state),
        blocked: () => this.#on.blocked(),
      });
      const offer = await this.#transport.offer();
      this.#signalling = new Signalling(admission.signalling, {
        frame: (frame) => this.#receive(frame),
        ping: (ms) => this.#on.ping(ms),
        lost: () => this.#lost(),
      });
      if (this.#closed) throw new Error("left while joining");
      const joined = await this.#signalling.join(admission.grant, offer);
      this.#sessionId = joined.session_id;
      for (const each of joined.participants) this.#participants.set(each.session_id, each);
      this.#tellParticipants();
      if (this.#own().muted) this.#signalling.mute(true);
      await this.#transport.accept(joined.answer);
      if (this.#closed) throw new Error("left while joining");
      this.#speakers = new Speakers(this.#sources(), (speaking) => this.#on.speaking(speaking));
    } catch (error) {
      this.close();
      throw error;
    }
  }

  /** The microphone was muted, unmuted, or is another one. */
  async microphoneChanged() {
    const { track, muted } = this.#own();
    this.#signalling?.mute(muted);
    await this.#transport?.setTrack(track);
  }

  async resumeSound() {
    await this.#transport?.resume();
  }

  close() {
    this.#closed = true;
    clearTimeout(this.#recovering);
    this.#speakers?.close();
    this.#signalling?.close();
    this.#transport?.close();
  }

  #sources() {
    return {
      receivers: () => this.#transport.receivers,
      sessionOf: (csrc) => [...this.#participants.values()].find((each) => each.csrc === csrc)?.session_id,
      own: () => {
        const { track, level, muted } = this.#own();
        return track && !muted ? { sessionId: this.#sessionId, level } : null;
      },
    };
  }

  #receive(frame) {
    switch (frame.op) {
      case "arrived":
      case "changed":
        this.#participants.set(frame.participant.session_id, frame.participant);
        return this.#tellParticipants();
      case "departed":
        this.#participants.delete(frame.session_id);
        return this.#tellParticipants();
      case "ended":
        if (!this.#closed) {
          this.close();
          this.#on.ended(frame.reason);
        }
        return undefined;
      default:
        return undefined; // "slots" repeats what the CSRCs say
    }
  }

  #tellParticipants() {
    this.#on.participants(Object.fromEntries(this.#participants));
  }

  #transportState(state) {
    clearTimeout(this.#recovering);
    if (this.#closed || !this.#speakers) return; // until then `enter` looks after it
    if (state === "failed") this.#lost();
    if (state === "disconnected") this.#recovering = setTimeout(() => this.#lost(), RECOVER_MS);
  }

  #lost() {
    if (this.#closed) return;
    this.close();
    this.#on.lost();
  }
}
