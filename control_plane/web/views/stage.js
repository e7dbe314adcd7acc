/**
 * The stage of a room: the cameras and screens of who shows one, as large as they fit. It asks the node for the sizes that are really
 * drawn, and for nothing that nobody sees.
 */

import { h, setData } from "../dom.js";
import { guildOf, voiceOf } from "../state.js";
import { castOf, wishOf } from "./cast.js";
import { layOut } from "./layout.js";
import { Tile } from "./tile.js";

const SETTLED_MS = 150; // while a window is dragged nothing is asked for

/** `onchange(keys)`: the session ids whose camera has a tile now. */
export function stage(app, onchange) {
  return new Stage(app, onchange).element;
}

/** What of `state.voice` is seen here. */
const DRAWN = ["channelId", "sessionId", "participants", "muted", "deafened", "speaking", "dominant", "own"].concat(
  ["watched", "videos", "videoTracks", "people"],
);

class Stage {
  #app;
  #store;
  #onchange;
  #tiles = new Map(); // key → Tile
  #cast = [];
  #pinned = null; // key
  #heardLast = new Map(); // session id → when, of those who spoke
  #size = { width: 0, height: 0 };
  #places = new Map(); // key → rectangle of layout.js
  #inSight = false;
  #timer = 0;
  #asked = "[]";

  constructor(app, onchange) {
    this.#app = app;
    this.#store = app.store;
    this.#onchange = onchange;
    this.element = h("ul", { class: "stage", "aria-label": "Cameras and screens", testid: "stage", hidden: true });
    new ResizeObserver(([{ contentRect: { width, height } }]) => {
      this.#size = { width, height };
      this.#draw();
      clearTimeout(this.#timer);
      this.#timer = 0;
      this.#askSoon();
    }).observe(this.element);
    new IntersectionObserver(([{ isIntersecting }]) => {
      this.#inSight = isIntersecting;
      this.#askSoon();
    }).observe(this.element);
    document.addEventListener("fullscreenchange", () => this.#askSoon());
    this.#store.watch(
      ({ voice, place, ...state }) => [
        ...DRAWN.map((name) => voice[name]),
        place.channelId,
        state.guilds,
        state.user,
        state.loudness,
      ],
      () => this.#draw(),
    );
    this.#store.watch(
      ({ visible }) => visible,
      () => this.#ask(), // at once: timers of a hidden page are slow
    );
  }

  #draw() {
    const { state } = this.#store;
    const { voice, place } = state;
    const guild = voice.channelId === null ? undefined : guildOf(state, voice.channelId);
    const present = guild ? voiceOf(state, guild, voice.channelId) : [];
    for (const { sessionId, speaking } of present) if (speaking) this.#heardLast.set(sessionId, performance.now());
    this.#cast = castOf(present, { pinned: this.#pinned, heardLast: this.#heardLast });
    if (!this.#cast.some(({ key }) => key === this.#pinned)) this.#pinned = null;
    this.element.hidden = place.channelId !== voice.channelId || !this.#cast.length;
    setData(this.element, "pinned", this.#pinned !== null);
    this.#reconcile(guild);
    this.#update(voice);
    const cameras = this.#cast.filter(({ kind }) => kind === "camera");
    this.#onchange(this.element.hidden ? null : new Set(cameras.map(({ sessionId }) => sessionId)));
    this.#askSoon();
  }

  /** Tiles are put at their place and never moved: a video that is taken out of the page stops. */
  #reconcile(guild) {
    const wanted = new Map(this.#cast.map((each) => [each.key, each]));
    for (const [key, tile] of this.#tiles) {
      if (wanted.has(key)) continue;
      tile.close();
      tile.element.remove();
      this.#tiles.delete(key);
    }
    let next = null;
    for (const each of [...this.#cast].reverse()) {
      const known = this.#tiles.get(each.key);
      const tile = known ?? this.#newTile(each, guild);
      if (!known) this.element.insertBefore(tile.element, next);
      next = tile.element;
    }
  }

  #newTile(each, guild) {
    const { key } = each;
    const tile = new Tile(this.#app, each, guild, {
      pin: () => {
        this.#pinned = this.#pinned === key ? null : key;
        this.#draw();
      },
      ratio: () => this.#askSoon(),
    });
    this.#tiles.set(key, tile);
    return tile;
  }

  #update(voice) {
    const tiles = this.#cast.map((each) => ({ key: each.key, isSmall: each.isSelf && each.kind === "screen" }));
    this.#places = layOut(tiles, this.#size, this.#pinned);
    for (const [index, each] of this.#cast.entries()) {
      const isSmall = tiles[index].isSmall && tiles.length > 1 && each.key !== this.#pinned;
      const isPinned = each.key === this.#pinned;
      this.#tiles.get(each.key).update(each, { ...pictureOf(each, voice), isPinned, isSmall, place: this.#places.get(each.key) });
    }
  }

  /** However often something changes meanwhile; only a size that changes makes it wait longer. */
  #askSoon() {
    this.#timer ||= setTimeout(() => this.#ask(), SETTLED_MS);
  }

  #ask() {
    clearTimeout(this.#timer);
    this.#timer = 0;
    const { visible, voice } = this.#store.state;
    if (voice.sessionId === null) return;
    const wishes = this.#cast.filter(({ isSelf }) => !isSelf).map((each) => this.#wishOf(each, visible));
    const wanted = wishes.sort((a, b) => b.priority - a.priority || a.csrc - b.csrc);
    const asked = `${voice.sessionId} ${JSON.stringify(wanted)}`;
    if (asked === this.#asked) return;
    this.#asked = asked;
    this.#app.call.watch(wanted);
  }

  #wishOf(each, visible) {
    const tile = this.#tiles.get(each.key);
    // Where it will be when it has moved there: what it passes on the way is not worth asking for.
    const { width, height } = tile.isFull ? { width: innerWidth, height: innerHeight } : this.#places.get(each.key);
    const isChosen = tile.isFull || each.key === this.#pinned;
    const hiddenBehind = document.fullscreenElement !== null && !tile.isFull;
    const isSeen = visible && !this.element.hidden && this.#inSight && !hiddenBehind;
    return wishOf(each, { width, height, ratio: tile.ratio, density: devicePixelRatio, isChosen, isSeen });
  }
}

/** The track that shows it now, and why it is not there. */
function pictureOf({ isSelf, kind, csrc }, { own, watched, videos, videoTracks }) {
  if (isSelf) return { track: own[kind], limit: null };
  const slot = watched[csrc];
  const state = videos[slot];
  return { track: state?.csrc === csrc ? (videoTracks[slot] ?? null) : null, limit: state?.limit ?? null };
}
