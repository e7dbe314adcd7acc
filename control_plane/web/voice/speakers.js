/** Who is speaking: the others as the node says, oneself as one's own microphone says, without the way there and back. */

const POLL_MS = 100;
const HOLD_MS = 350; // a ring that flickers between syllables is worse than one that is a little late to go out
const AUDIBLE = 0.006; // linear, about -44 dBov: above a room's noise after suppression, below soft speech

export class Speakers {
  #sources;
  #onchange;
  #timer;
  #speaking = [];
  #dominant = null;
  #until = 0; // until when one's own ring stays lit
  #shown = "";

  /**
   * `sources`: sessionOf(csrc) → session id or undefined, own() → {sessionId, level}, level 0 if nobody hears it.
   * `onchange({speaking, dominant})`, by session id, only when it differs.
   */
  constructor(sources, onchange) {
    this.#sources = sources;
    this.#onchange = onchange;
    this.#timer = setInterval(() => this.look(), POLL_MS);
  }

  /** A `Speakers` frame. */
  told({ speaking, dominant }) {
    this.#speaking = speaking;
    this.#dominant = dominant;
    this.look();
  }

  look() {
    const { sessionOf, own } = this.#sources;
    const { sessionId: self, level } = own();
    const now = performance.now();
    if (level >= AUDIBLE) this.#until = now + HOLD_MS;
    const lit = level > 0 && now < this.#until;
    const others = this.#speaking.map(sessionOf).filter((each) => each && each !== self);
    const speaking = [...others, ...(lit ? [self] : [])].sort();
    const leading = sessionOf(this.#dominant);
    const dominant = speaking.includes(leading) ? leading : null;
    const shown = `${speaking} ${dominant}`;
    if (shown === this.#shown) return;
    this.#shown = shown;
    this.#onchange({ speaking: Object.fromEntries(speaking.map((each) => [each, true])), dominant });
  }

  close() {
    clearInterval(this.#timer);
  }
}
