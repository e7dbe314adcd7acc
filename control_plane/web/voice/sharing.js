/** What one shows of oneself: camera and screen. Writes `state.voice.own`. */

import { Camera } from "./camera.js";
import { DeviceProblem } from "./devices.js";
import { Screen, ScreenProblem } from "./screen.js";

export class Sharing {
  #on;
  #camera = null;
  #screen = null;
  #turn = 0; // counts what was asked of the camera: what an earlier one still brings is let go

  /** `on`: changed({camera, screen}) with the tracks to preview, notice(text, {wrong}). */
  constructor(on) {
    this.#on = on;
  }

  get tracks() {
    const { picture = null, sound = null } = this.#screen ?? {};
    return { camera: this.#camera?.track ?? null, screen: picture, screenSound: sound };
  }

  /** For `Share`. */
  get sources() {
    const { camera, screen, screenSound } = this.tracks;
    return [camera && "camera", screen && "screen", screenSound && "screen_audio"].filter(Boolean);
  }

  /** Turns the camera on, or takes another one. Throws `DeviceProblem`. */
  async openCamera(id) {
    const turn = (this.#turn += 1);
    const camera = await Camera.open(id, () => this.#cameraLost(camera));
    if (turn !== this.#turn) return camera.close();
    this.#camera?.close();
    this.#camera = camera;
    return this.#changed();
  }

  closeCamera() {
    this.#turn += 1;
    if (!this.#camera) return;
    this.#camera.close();
    this.#camera = null;
    this.#changed();
  }

  /** `isWanted()`: whether there still is somebody to show it to, once the person has chosen. */
  async openScreen(isWanted) {
    try {
      const screen = await Screen.open(() => screen === this.#screen && this.closeScreen());
      if (!screen) return;
      if (!isWanted()) return screen.close();
      this.#screen?.close();
      this.#screen = screen;
      this.#changed();
    } catch (error) {
      if (!(error instanceof ScreenProblem)) throw error;
      this.#on.notice(error.message, { wrong: true });
    }
  }

  closeScreen() {
    if (!this.#screen) return;
    this.#screen.close();
    this.#screen = null;
    this.#changed();
  }

  /** Both, at once. */
  close() {
    const shared = this.sources.length > 0;
    this.#turn += 1;
    for (const each of [this.#camera, this.#screen]) each?.close();
    this.#camera = this.#screen = null;
    if (shared) this.#changed();
  }

  /** Unplugged. Another one is taken if there is one. */
  async #cameraLost(camera) {
    if (camera !== this.#camera) return;
    try {
      await this.openCamera(null);
      if (this.#camera) this.#on.notice(`Your camera went away. ${this.#camera.name} is used now.`);
    } catch (error) {
      if (!(error instanceof DeviceProblem)) throw error;
      this.closeCamera();
      this.#on.notice("Your camera went away, so it is off now.", { wrong: true });
    }
  }

  #changed() {
    const { camera, screen } = this.tracks;
    this.#on.changed({ camera, screen });
  }
}
