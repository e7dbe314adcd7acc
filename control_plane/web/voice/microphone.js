/** One's own microphone: opening it, muting it, how loud it is. */

import { onLost, openDevice } from "./devices.js";

export class Microphone {
  #track;
  #context;
  #analyser;
  #samples;
  #forget;

  /** Asks for the microphone. Throws `DeviceProblem`. `onlost` is called when the device goes away. */
  static async open(id, onlost) {
    return new Microphone(await openDevice("microphone", id), onlost);
  }

  constructor(stream, onlost) {
    [this.#track] = stream.getAudioTracks();
    this.#forget = onLost(this.#track, onlost);
    this.#context = new AudioContext();
    this.#context.resume().catch(() => {}); // without it one's own ring does not light up; nothing else depends on it
    this.#analyser = new AnalyserNode(this.#context, { fftSize: 1024 });
    this.#samples = new Float32Array(this.#analyser.fftSize);
    this.#context.createMediaStreamSource(stream).connect(this.#analyser);
  }

  get track() {
    return this.#track;
  }

  /** What the system calls it. */
  get name() {
    return this.#track.label || "Another one";
  }

  set muted(muted) {
    this.#track.enabled = !muted;
  }

  /** Root mean square of the last 20 ms, 0 to 1. */
  get level() {
    this.#analyser.getFloatTimeDomainData(this.#samples);
    let sum = 0;
    for (const sample of this.#samples) sum += sample * sample;
    return Math.sqrt(sum / this.#samples.length);
  }

  close() {
    this.#forget();
    this.#track.stop();
    this.#context.close().catch(() => {});
  }
}
