/** What one hears: each slot through a gain of its own, all of them into one output that the browser may keep shut until a click. */

import { listDevices, onDevicesChange } from "./devices.js";

const RAMP_S = 0.006; // time constant: three of them pass within one packet, and nothing clicks
const SYSTEM_DEFAULT = ""; // what setSinkId takes for it
const OPENS_MS = 800; // an output that is allowed to open does so sooner

/** Whether one can choose where it is heard. */
export const canChooseOutput = () => "setSinkId" in AudioContext.prototype;

export class Playback {
  #context = new AudioContext({ latencyHint: "interactive" });
  #output = SYSTEM_DEFAULT;
  #forget;
  #timer;

  /** `on`: blocked(boolean) whether a click is needed before anything can be heard, outputLost(). */
  constructor({ blocked: onblocked, outputLost }) {
    this.#forget = onDevicesChange(() => this.#look(outputLost));
    const look = () => onblocked(this.#context.state !== "running" && this.#context.state !== "closed");
    this.#timer = setTimeout(() => {
      look();
      this.#context.addEventListener("statechange", look);
    }, OPENS_MS);
    this.resume();
  }

  /** Opens the output; call it from a click. */
  resume() {
    this.#context.resume().catch(() => {}); // `onblocked` tells what came of it
  }

  /** Where it is heard, by the id of a device; where that is gone, wherever the system plays. */
  async choose(id) {
    this.#output = !id || id === "default" ? SYSTEM_DEFAULT : id;
    await this.#context.setSinkId?.(this.#output).catch(() => (this.#output = SYSTEM_DEFAULT));
  }

  play(track) {
    return new Player(this.#context, track);
  }

  close() {
    clearTimeout(this.#timer);
    this.#forget();
    this.#context.close().catch(() => {});
  }

  async #look(outputLost) {
    if (this.#output === SYSTEM_DEFAULT) return;
    const { output } = await listDevices();
    if (output.some(({ id }) => id === this.#output)) return;
    await this.choose(SYSTEM_DEFAULT);
    outputLost();
  }
}

/** One slot on its way to the ears. */
class Player {
  #context;
  #element;
  #source;
  #gain;

  constructor(context, track) {
    const stream = new MediaStream([track]);
    this.#context = context;
    // Chromium decodes a remote track only for an element that plays it; a silent one will do.
    this.#element = document.createElement("audio");
    Object.assign(this.#element, { muted: true, autoplay: true, hidden: true, srcObject: stream });
    document.body.append(this.#element);
    this.#source = context.createMediaStreamSource(stream);
    this.#gain = new GainNode(context);
    this.#source.connect(this.#gain).connect(context.destination);
  }

  /** `loudness`: 0 to 2, linear; 1 is as it was sent. */
  set loudness(loudness) {
    this.#gain.gain.cancelScheduledValues(0);
    this.#gain.gain.setTargetAtTime(loudness, this.#context.currentTime, RAMP_S);
  }

  close() {
    this.#source.disconnect();
    this.#gain.disconnect();
    this.#element.srcObject = null;
    this.#element.remove();
  }
}
