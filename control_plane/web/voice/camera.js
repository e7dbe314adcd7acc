/** One's own camera. */

import { onLost, openDevice } from "./devices.js";

export class Camera {
  #track;
  #forget;

  /** Asks for the camera. Throws `DeviceProblem`. `onlost` is called when the device goes away. */
  static async open(id, onlost) {
    return new Camera(await openDevice("camera", id), onlost);
  }

  constructor(stream, onlost) {
    [this.#track] = stream.getVideoTracks();
    this.#track.contentHint = "motion";
    this.#forget = onLost(this.#track, onlost);
  }

  get track() {
    return this.#track;
  }

  /** What the system calls it. */
  get name() {
    return this.#track.label || "Another one";
  }

  close() {
    this.#forget();
    this.#track.stop();
  }
}
