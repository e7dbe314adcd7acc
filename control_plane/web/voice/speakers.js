/**
 * Who is speaking. The CSRC of what is being played says who is heard in a slot, its level how loud; one's own comes from the
 * microphone.
 */

const POLL_MS = 100;
const HOLD_MS = 350; // a ring that flickers between syllables is worse than one that is a little late to go out
const AUDIBLE = 0.006; // linear, about -44 dBov: above a room's noise after suppression, below soft speech

export class Speakers {
  #timer;
  #heard = new Map(); // session id → until when it counts as speaking, ms
  #fresh = new Map(); // csrc → the timestamp it was last played with
  #shown = "";

  /**
   * `sources`: receivers() → RTCRtpReceiver[], sessionOf(csrc) → session id, own() → {sessionId, level} or null.
   * `onchange(speaking)`: {session id: true}, only when it differs.
   */
  constructor(sources, onchange) {
    this.#timer = setInterval(() => this.#poll(sources, onchange), POLL_MS);
  }

  close() {
    clearInterval(this.#timer);
  }

  #poll({ receivers, sessionOf, own }, onchange) {
    const now = performance.now();
    const hear = (sessionId) => sessionId && this.#heard.set(sessionId, now + HOLD_MS);
    for (const receiver of receivers()) {
      for (const { source, timestamp, audioLevel } of receiver.getContributingSources()) {
        // The browser lists a source for ten seconds after its last packet: only what was played since the last look counts.
        const played = this.#fresh.get(source) !== timestamp;
        this.#fresh.set(source, timestamp);
        if (played && (audioLevel ?? 1) >= AUDIBLE) hear(sessionOf(source));
      }
    }
    const self = own();
    if (self && self.level >= AUDIBLE) hear(self.sessionId);
    for (const [sessionId, until] of this.#heard) if (until < now) this.#heard.delete(sessionId);
    const speaking = [...this.#heard.keys()].sort();
    if (speaking.join() === this.#shown) return;
    this.#shown = speaking.join();
    onchange(Object.fromEntries(speaking.map((sessionId) => [sessionId, true])));
  }
}
