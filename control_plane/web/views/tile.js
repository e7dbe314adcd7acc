/** One camera or screen on the stage: the picture, or who it would be while there is none; their name, their marks, what one can do. */

import { fill, h, setData, setText } from "../dom.js";
import { icon } from "../icons.js";
import { nameOf } from "../state.js";
import { avatar } from "./avatar.js";
import { iconButton } from "./form.js";
import { drawMarks } from "./participants.js";
import { openPersonMenu } from "./person.js";
import { personQuality } from "./quality.js";

const NOT_YET = {
  bandwidth: "Your network is too slow for this picture just now.",
  codec: "Your browser cannot show this picture. Another format is asked for.",
};

function titleOf({ kind, isSelf }, name) {
  if (isSelf) return kind === "screen" ? "Your screen" : "You";
  return kind === "screen" ? `${name}’s screen` : name;
}

/** `on`: pin() to make it large or small again, ratio() when the picture has another shape. */
export class Tile {
  #app;
  #video;
  #title;
  #marks;
  #reason;
  #pin;
  #full;
  #quality;
  #track = null;

  constructor(app, tile, guild, on) {
    const { sessionId, userId, kind, isSelf } = tile;
    const name = nameOf(guild, userId);
    const title = titleOf(tile, name);
    this.#app = app;

    this.#video = h("video", { class: "tile-picture", autoplay: true, playsinline: true, "aria-hidden": "true", tabIndex: -1 });
    this.#video.muted = true;
    this.#video.addEventListener("resize", () => on.ratio());
    this.#reason = h("p", { class: "tile-reason" });
    const face = h("div", { class: "tile-face" }, avatar(userId, name, "large"), this.#reason);
    this.#title = h("span", { class: "tile-title" }, title);
    this.#marks = h("span", { class: "marks" });
    this.#pin = iconButton(icon("pin"), `Pin ${title}`, { "aria-pressed": "false", testid: "pin", on: { click: () => on.pin() } });
    this.#full = iconButton(icon("expand"), `Full screen: ${title}`, {
      testid: "full-screen",
      hidden: !document.fullscreenEnabled,
      on: { click: () => this.toggleFull() },
    });
    const label = h("div", { class: "tile-label" }, kind === "screen" && icon("screen"), this.#marks, this.#title);
    const tools = h("div", { class: "tile-tools" }, this.#pin, this.#full, isSelf ? this.#stop(kind) : this.#menu(tile, name));
    this.#quality = personQuality(app, sessionId, title);
    this.element = h(
      "li",
      { class: "video-tile", testid: "video-tile", "aria-label": title, data: { kind, user: name, self: isSelf } },
      this.#video,
      face,
      label,
      this.#quality.element,
      tools,
    );
    this.element.addEventListener("click", (event) => event.target.closest("button") ?? on.pin());
    this.element.addEventListener("dblclick", (event) => event.target.closest("button") ?? this.toggleFull());
    this.element.addEventListener("fullscreenchange", () => {
      fill(this.#full, icon(this.isFull ? "shrink" : "expand"));
      this.#full.setAttribute("aria-pressed", String(this.isFull));
    });
  }

  get isFull() {
    return document.fullscreenElement === this.element;
  }

  /** Of the picture, null while there is none. */
  get ratio() {
    const { videoWidth, videoHeight } = this.#video;
    return videoWidth && videoHeight ? videoWidth / videoHeight : null;
  }

  async toggleFull() {
    try {
      await (this.isFull ? document.exitFullscreen() : this.element.requestFullscreen());
    } catch {
      // The browser does not want to just now: it stays as it is.
    }
  }

  /** `track`: what is shown, null while it is not there; `limit` says why, of a VideoState. `place`: a rectangle of layout.js. */
  update({ speaking, dominant, ...person }, { track, limit, isPinned, isSmall, place }) {
    const { element } = this;
    setData(element, "speaking", speaking);
    setData(element, "dominant", dominant);
    setData(element, "pinned", isPinned);
    setData(element, "small", isSmall);
    setText(this.#reason, track ? "" : (NOT_YET[limit] ?? ""));
    drawMarks(this.#marks, person);
    this.#pin.setAttribute("aria-pressed", String(isPinned));
    for (const [name, value] of Object.entries(place)) element.style.setProperty(name, `${value}px`);
    element.style.setProperty("--side-length", `${Math.min(place.width, place.height)}px`);
    setData(element, "size", place.width < 100 ? "mere" : place.width < 190 ? "tiny" : place.width < 340 ? "small" : "large");
    this.#quality.draw(this.#app.store.state.voice);
    this.#show(track);
  }

  close() {
    this.#video.srcObject = null;
    if (this.isFull) document.exitFullscreen().catch(() => {});
  }

  /** The face stays until the first frame is there, so that nothing of whoever was in the slot before is seen. */
  #show(track) {
    if (track === this.#track) return;
    this.#track = track;
    setData(this.element, "shown", false);
    this.#video.srcObject = track && new MediaStream([track]);
    if (!track) return;
    const shown = () => track === this.#track && setData(this.element, "shown", true);
    if (this.#video.requestVideoFrameCallback) this.#video.requestVideoFrameCallback(shown);
    else this.#video.addEventListener("playing", shown, { once: true });
    this.#video.play().catch(() => {}); // another track took its place
  }

  #menu({ userId }, name) {
    const button = iconButton(icon("more"), `More about ${name}`, { "aria-haspopup": "dialog", testid: "tile-menu" });
    button.addEventListener("click", () => {
      const { channelId } = this.#app.store.state.voice;
      openPersonMenu(this.#app, { userId, channelId, opener: button });
    });
    return button;
  }

  #stop(kind) {
    const { call } = this.#app;
    const [picture, label, stop] =
      kind === "screen"
        ? ["screen-off", "Stop sharing", () => call.stopScreen()]
        : ["video-off", "Turn camera off", () => call.closeCamera()];
    return iconButton(icon(picture), label, { on: { click: stop } });
  }
}
