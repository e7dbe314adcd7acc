/** One's own screen, or what of it one chose, with its sound where the browser gives it. */

const WANTED = {
  video: { frameRate: { ideal: 30, max: 30 } },
  // As it is; and without what this page plays, else the others would hear themselves.
  audio: { echoCancellation: false, noiseSuppression: false, autoGainControl: false, restrictOwnAudio: true },
  systemAudio: "include",
  surfaceSwitching: "include",
  selfBrowserSurface: "exclude",
};

const WORDS = {
  insecure: "Browsers give the screen only to pages on HTTPS or localhost.",
  denied: "The system does not let the browser record the screen. Allow it in the system's privacy settings and try again.",
  busy: "The screen cannot be shared just now. Try again, or choose another window.",
};

export class ScreenProblem extends Error {
  constructor(kind) {
    super(WORDS[kind]);
    this.name = "ScreenProblem";
  }
}

export const canShareScreen = () => Boolean(navigator.mediaDevices?.getDisplayMedia);

export class Screen {
  #tracks;
  #onend;

  /** Lets the person choose; resolves to null when they choose nothing. Throws `ScreenProblem`. `onend`: stopped from outside. */
  static async open(onend) {
    if (!canShareScreen()) throw new ScreenProblem("insecure");
    try {
      return new Screen(await navigator.mediaDevices.getDisplayMedia(WANTED), onend);
    } catch (error) {
      if (error.name === "NotAllowedError" && !/system/i.test(error.message)) return null;
      throw new ScreenProblem(error.name === "NotAllowedError" ? "denied" : "busy");
    }
  }

  constructor(stream, onend) {
    const [picture] = stream.getVideoTracks();
    const [sound = null] = stream.getAudioTracks();
    picture.contentHint = "detail";
    if (sound) sound.contentHint = "music";
    this.#tracks = { picture, sound };
    this.#onend = onend;
    picture.addEventListener("ended", onend); // the browser's own "Stop sharing"
  }

  get picture() {
    return this.#tracks.picture;
  }

  /** null where the browser gives none. */
  get sound() {
    return this.#tracks.sound;
  }

  close() {
    this.#tracks.picture.removeEventListener("ended", this.#onend);
    for (const each of Object.values(this.#tracks)) each?.stop();
  }
}
