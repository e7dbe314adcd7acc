/**
 * Brings back what a stay has lost, by itself: the signalling socket first, as everything else goes over it, then the way of the
 * media (an ICE restart), or the whole transport where that does not help.
 */

import { Refused, SignallingLost } from "./signalling.js";

const FIRST_WAIT_MS = 250;
const LONGEST_WAIT_MS = 4_000;
const GIVE_UP_MS = 28_000; // a little less than the node keeps a stay (RESUME_SECONDS)
const RESUMES_WITHOUT_MEDIA = 3; // when neither answers, the node itself is gone: another one may be there
const ICE_RESTARTS = 2; // what these do not mend, they never will
const PASSING_REFUSALS = new Set(["too_many_offers"]);

export class Mender {
  #means;
  #on;
  #needs = new Set(); // "socket", "ice", "transport"
  #running = false;
  #closed = false;
  #wake = () => {};

  /**
   * `means`: resume(), restartIce(), renew(), each a promise of having mended its part; mediaFlows(). `on`: changed() when the needs
   * are others, lost() when nothing helps.
   */
  constructor(means, on) {
    this.#means = means;
    this.#on = on;
  }

  needs(what) {
    return this.#needs.has(what);
  }

  /** Something is broken; it is mended from now on. */
  broken(what) {
    if (this.#closed) return;
    this.#needs.add(what);
    this.#on.changed();
    if (!this.#running) this.#run();
  }

  /** It has come back by itself. */
  whole(what) {
    if (!this.#needs.delete(what)) return;
    this.#on.changed();
    this.#wake();
  }

  /** The network is another one: what waits does not wait any longer. */
  hurry() {
    this.#wake();
  }

  close() {
    this.#closed = true;
    this.#wake();
  }

  async #run() {
    this.#running = true;
    const until = performance.now() + GIVE_UP_MS;
    const failures = { socket: 0, ice: 0, transport: 0 };
    let wait = FIRST_WAIT_MS;
    while (this.#needs.size && !this.#closed) {
      const what = ["socket", "transport", "ice"].find((each) => this.#needs.has(each));
      try {
        await this.#mend(what);
      } catch (error) {
        if (this.#closed) return;
        if (what !== "socket" && error instanceof SignallingLost) continue; // the socket is what is broken
        failures[what] += 1;
        if (what === "ice" && (error instanceof Refused || failures.ice >= ICE_RESTARTS)) this.#needs.add("transport");
        if (this.#isHopeless(what, error, failures) || performance.now() > until) {
          this.#closed = true;
          this.#on.lost();
          return;
        }
        await this.#pause(wait * (0.5 + Math.random() / 2)); // not all at once, when a node comes back
        wait = Math.min(2 * wait, LONGEST_WAIT_MS);
      }
    }
    this.#running = false;
  }

  async #mend(what) {
    if (what === "socket") await this.#means.resume();
    else if (what === "transport") await this.#means.renew();
    else await this.#means.restartIce();
    if (this.#closed) return;
    this.#needs.delete(what);
    if (what === "transport") this.#needs.delete("ice");
    this.#on.changed();
  }

  #isHopeless(what, error, failures) {
    if (error instanceof Refused) return what !== "ice" && !PASSING_REFUSALS.has(error.code);
    return what === "socket" && failures.socket >= RESUMES_WITHOUT_MEDIA && !this.#means.mediaFlows();
  }

  #pause(milliseconds) {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, milliseconds);
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }
}
