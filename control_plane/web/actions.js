/** What people do. Methods throw an `ApiError` that can be shown as it is, unless they say otherwise. */

import { apply, inHistory } from "./events.js";
import { EMPTY, withDraft, withMessage, withNewest, withOlder, withoutDraft } from "./history.js";
import { lastPlace } from "./session.js";
import { channelsOf, guildOf } from "./state.js";

const PAGE = 50; // messages: more than fills a tall screen, little enough to come at once
const SNAPSHOT_MS = 3_000; // how long the gateway may take to show a new server before it is read by other means

/** Unlike crypto.randomUUID also there on plain HTTP. */
const newNonce = () =>
  [...crypto.getRandomValues(new Uint8Array(12))].map((byte) => byte.toString(16).padStart(2, "0")).join("");

export class Actions {
  #store;
  #api;
  #sending = new Map(); // channel id → the end of its queue
  #order = 0;

  constructor(store, api) {
    this.#store = store;
    this.#api = api;
  }

  /** Goes to a channel, or to where one was last in the server. `record`: whether "back" leads here again. */
  open(serverId, channelId = null, { record = true } = {}) {
    const guild = this.#store.state.guilds[serverId];
    if (!guild) return;
    const remembered = lastPlace.get(serverId);
    const channels = channelsOf(guild);
    const texts = channels.filter((each) => each.type === "text");
    const first = texts.find((each) => each.channel_id === remembered) ?? texts[0];
    const target = channelId && guild.channels[channelId] ? channelId : (first?.channel_id ?? null);
    lastPlace.set(serverId, target);
    const url = `/#/${serverId}${target ? `/${target}` : ""}`;
    if (location.pathname + location.hash !== url) history[record ? "pushState" : "replaceState"](null, "", url);
    this.#store.change((state) => {
      const { [target]: _, ...unread } = state.unread;
      return { place: { serverId, channelId: target }, unread };
    });
    if (target && guild.channels[target].type === "text") this.loadNewest(target);
  }

  /** Makes a server and goes there. */
  async createServer(name) {
    await this.#enter(await this.#api.createServer(name));
  }

  async acceptInvite(code) {
    await this.#enter(await this.#api.acceptInvite(code));
  }

  async createChannel(serverId, name, type) {
    const channel = await this.#api.createChannel(serverId, { name, type });
    this.#store.change((state) => apply(state, "CHANNEL_CREATE", channel));
    if (type === "text") this.open(serverId, channel.channel_id);
  }

  async inviteLink(serverId) {
    const { code } = await this.#api.createInvite(serverId);
    return `${location.origin}/invite/${code}`;
  }

  /** For who runs the server. `change`: {server_muted?, server_deafened?, channel_id?}; it is shown when the node has made it. */
  changeParticipant(channelId, userId, change) {
    return this.#api.changeParticipant(channelId, userId, change);
  }

  disconnect(channelId, userId) {
    return this.#api.removeParticipant(channelId, userId);
  }

  /** One's own for this channel, oldest first. */
  streamKeys(channelId) {
    return this.#api.streamKeys(channelId);
  }

  /** Resolves to {made, key, address}: what the list shows, the secret that is told this once, and where a program streams to. */
  async makeStreamKey(channelId, name) {
    const { key, ...made } = await this.#api.createStreamKey(channelId, name);
    return { made, key, address: `${location.origin}/whip/${channelId}` };
  }

  revokeStreamKey(channelId, keyId) {
    return this.#api.revokeStreamKey(channelId, keyId);
  }

  /** Never throws: what went wrong is in the history. */
  async loadNewest(channelId) {
    const { loaded, loading } = this.#history(channelId);
    if (loaded || loading) return;
    await this.#load(channelId, "newest", {}, withNewest);
  }

  /** Never throws: what went wrong is in the history. */
  async loadOlder(channelId) {
    const { loaded, loading, complete, messages } = this.#history(channelId);
    if (!loaded || loading || complete || messages.length === 0) return;
    await this.#load(channelId, "older", { before: messages[0].message_id }, withOlder);
  }

  /** Shows the message at once and sends it after those before it. Never throws: a draft that failed says why. */
  send(channelId, content) {
    this.#order += 1;
    const draft = {
      nonce: newNonce(),
      order: this.#order,
      content,
      status: "sending",
      error: null,
      time: new Date().toISOString(),
    };
    return this.#post(channelId, draft);
  }

  /** With the same nonce, so that a message that did arrive is not sent twice. */
  retry(channelId, nonce) {
    const draft = this.#history(channelId).outbox.find((each) => each.nonce === nonce);
    return draft && this.#post(channelId, { ...draft, status: "sending", error: null });
  }

  discard(channelId, nonce) {
    this.#store.change((state) => inHistory(state, channelId, (history) => withoutDraft(history, nonce)));
  }

  /** What could not be sent while the server was out of reach. */
  retryUnsent() {
    for (const [channelId, { outbox }] of Object.entries(this.#store.state.histories)) {
      for (const draft of outbox) if (draft.status === "failed" && draft.passing) this.retry(channelId, draft.nonce);
    }
  }

  #history(channelId) {
    return this.#store.state.histories[channelId] ?? EMPTY;
  }

  async #load(channelId, loading, where, include) {
    const change = (with_) => this.#store.change((state) => inHistory(state, channelId, with_));
    change((history) => ({ ...history, loading, error: null }));
    try {
      const page = await this.#api.messages(channelId, { limit: PAGE, ...where });
      change((history) => include(history, page, PAGE));
    } catch (error) {
      change((history) => ({ ...history, loading: null, error: error.message }));
    }
  }

  #post(channelId, draft) {
    this.#store.change((state) => inHistory(state, channelId, (history) => withDraft(history, draft)));
    const sent = (this.#sending.get(channelId) ?? Promise.resolve()).then(() => this.#postNow(channelId, draft));
    this.#sending.set(channelId, sent);
    return sent;
  }

  async #postNow(channelId, draft) {
    try {
      const { content, nonce } = draft;
      const message = await this.#api.sendMessage(channelId, { content, nonce });
      const change = (history) => withMessage(history, { ...message, nonce }, message.user_id);
      this.#store.change((state) => inHistory(state, channelId, change));
    } catch (error) {
      const failed = { ...draft, status: "failed", error: error.message, passing: error.passing };
      const change = (history) => (arrived(history, draft) ? history : withDraft(history, failed));
      this.#store.change((state) => inHistory(state, channelId, change));
    }
  }

  async #enter(server) {
    const id = server.server_id;
    if (!(await this.#store.until((state) => state.guilds[id], SNAPSHOT_MS))) await this.#readGuild(server);
    this.open(id);
  }

  async #readGuild(server) {
    const [channels, members] = await Promise.all([
      this.#api.channels(server.server_id),
      this.#api.members(server.server_id),
    ]);
    this.#store.change((state) => apply(state, "GUILD_CREATE", { server, channels, members, voice_states: [] }));
  }
}

/** Whether it was announced although its answer got lost. */
const arrived = (history, { nonce }) => history.messages.some((each) => each.nonce === nonce);

/** Where to go when the page is opened: what the address says, else where one was last, else the first server. */
export function startingPlace(state) {
  const [, serverId, channelId] = location.hash.split("/");
  if (state.guilds[serverId])
    return { serverId, channelId: guildOf(state, channelId) === state.guilds[serverId] ? channelId : null };
  const last = lastPlace.get();
  return { serverId: state.guilds[last] ? last : (Object.keys(state.guilds)[0] ?? null), channelId: null };
}
