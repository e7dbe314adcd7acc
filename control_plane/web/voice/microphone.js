/** One's own microphone: opening it, muting it, how loud it is, and what went wrong, in words. */

const PROCESSING = { echoCancellation: true, noiseSuppression: true, autoGainControl: true };

const WORDS = {
  insecure: "Browsers give a microphone only to pages on HTTPS or localhost. You can still join and listen.",
  denied: "The microphone is blocked for this page. Allow it in the address bar and try again, or join and listen.",
  missing: "No microphone was found. Plug one in and try again, or join and listen.",
  busy: "The microphone does not start: another program may be using it. Try again, or join and listen.",
};

const KINDS = {
  NotAllowedError: "denied",
  SecurityError: "denied",
  NotFoundError: "missing",
  OverconstrainedError: "missing",
};

/** `kind`: insecure, denied, missing or busy. */
export class MicrophoneProblem extends Error {
  constructor(kind) {
    super(WORDS[kind]);
    this.name = "MicrophoneProblem";
    this.kind = kind;
  }
}

export class Microphone {
  #track;
  #context;
  #analyser;
  #samples;
  #onlost;
  #closed = false;

  /** Asks for the microphone. Throws `MicrophoneProblem`. `onlost` is called when the device goes away. */
  static async open(onlost) {
    if (!navigator.mediaDevices?.getUserMedia) throw new MicrophoneProblem("insecure");
    try {
      const stream = await navigator.mediaDevices.getUserMedia({ audio: PROCESSING });
      return new Microphone(stream, onlost);
    } catch (error) {
      throw new MicrophoneProblem(KINDS[error.name] ?? "busy");
    }
  }

  constructor(stream, onlost) {
    [this.#track] = stream.getAudioTracks();
    this.#onlost = onlost;
    this.#track.addEventListener("ended", this.#lost);
    navigator.mediaDevices.addEventListener("devicechange", this.#look);
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
    this.#closed = true;
    navigator.mediaDevices.removeEventListener("devicechange", this.#look);
    this.#track.stop();
    this.#context.close().catch(() => {});
  }

  #lost = () => {
    if (!this.#closed) this.#onlost();
  };

  /** Not every browser ends the track of a device that is gone. */
  #look = async () => {
    const { deviceId, groupId } = this.#track.getSettings();
    const devices = await navigator.mediaDevices.enumerateDevices();
    const isOurs = (each) => (groupId ? each.groupId === groupId : each.deviceId === deviceId) || !each.deviceId;
    if (!devices.some((each) => each.kind === "audioinput" && isOurs(each))) this.#lost();
  };
}
