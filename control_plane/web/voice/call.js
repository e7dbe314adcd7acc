/**
 * The call one is in, or none: joins, joins again when the node is lost, mutes, deafens, shows, watches, leaves. Writes
 * `state.voice`, `state.loudness` and `state.devices`.
 *
 * status: idle → asking (for the microphone) → connecting → connected ⇄ reconnecting; failed says why in `problem`.
 */

import { ApiError } from "../api.js";
import * as session from "../session.js";
import { AS_SENT, NO_CALL, guildOf } from "../state.js";
import { DeviceProblem } from "./devices.js";
import { Microphone } from "./microphone.js";
import { Playback } from "./playback.js";
import { Sharing } from "./sharing.js";
import { Refused, SignallingLost } from "./signalling.js";
import { Stay } from "./stay.js";
import { TransportFailed } from "./transport.js";
import { assign } from "./watching.js";

const FIRST_RETRY_MS = 500;
const LONGEST_RETRY_MS = 8_000;
const GIVE_UP_MS = { connecting: 25_000, reconnecting: 60_000 }; // then a person decides

const ENDED = {
  replaced: "You joined voice somewhere else, so this window left.",
  removed: "You were taken out of this voice channel.",
};

const IN_CALL = ["connecting", "connected", "reconnecting"];

const sleep = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

/** A new grant may help against these; nothing helps against the other refusals. */
const PASSING_REFUSALS = new Set(["expired_grant", "used_grant", "wrong_node", "full"]);
const isPassing = (error) => (error instanceof Refused ? PASSING_REFUSALS.has(error.code) : (error.passing ?? true));

const inWords = (error) =>
  [ApiError, Refused, SignallingLost, TransportFailed].some((kind) => error instanceof kind)
    ? error.message
    : `Voice could not be started: ${error.message}`;

export class Call {
  #store;
  #api;
  #on;
  #microphone = null;
  #sharing;
  #wishes = []; // of `Watch`
  #playback = null;
  #stay = null;
  #leaving = null;
  #turn = 0; // counts joins and leaves: what an earlier one still does is void

  /** `on`: notice(text, {wrong}) for what happened by itself, moved(from, to) when someone put one into another channel. */
  constructor(store, api, on) {
    this.#store = store;
    this.#api = api;
    this.#on = on;
    this.#sharing = new Sharing({
      notice: (text, how) => on.notice(text, how),
      changed: (own) => {
        this.#set({ own });
        this.#ownChanged();
      },
    });
    // Best effort: else the others see one for as long as it takes the node to notice.
    addEventListener("pagehide", () => this.leave());
    addEventListener("online", () => this.#stay?.networkChanged());
    onOtherNetwork(() => this.#stay?.networkChanged());
  }

  /** Never throws: what goes wrong is in `state.voice.problem`. `listening`: without asking for a microphone. */
  async join(channelId, { listening = false } = {}) {
    const { voice } = this.#store.state;
    if (voice.channelId === channelId && voice.status !== "failed") return;
    this.leave();
    const turn = this.#turn;
    const serverId = guildOf(this.#store.state, channelId)?.server.server_id ?? null;
    const muted = listening || (voice.muted && !voice.listening); // one who muted before does not expect to be heard in the next channel
    const { deafened } = voice;
    this.#set({ ...NO_CALL, status: listening ? "connecting" : "asking", serverId, channelId, muted, deafened, listening });
    this.#playback = this.#openPlayback(); // here, as this is a click
    if (!listening && !(await this.#openMicrophone(turn))) return;
    this.#set({ status: "connecting" });
    await this.#connect(turn, "connecting");
  }

  leave() {
    this.#turn += 1;
    const { channelId, status } = this.#store.state.voice;
    // With a session at the node, its goodbye frees everything; a join that is still under way is taken back here.
    if (["connecting", "reconnecting"].includes(status)) this.#leaving = this.#api.leave(channelId).catch(() => {});
    this.#close();
    if (status !== "idle")
      this.#store.change(({ voice: { muted, listening, deafened } }) => ({
        voice: { ...NO_CALL, muted: muted && !listening, deafened },
      }));
  }

  /** One who listens without a microphone is asked for it again. Who wants to be heard wants to hear as well. */
  async toggleMute() {
    const { voice } = this.#store.state;
    if (!IN_CALL.includes(voice.status) || this.#byOwner.server_muted) return;
    if (voice.listening) {
      if (!(await this.#openMicrophone(this.#turn, { staying: true }))) return;
      this.#set({ listening: false, muted: false, deafened: false, problem: null });
    } else if (voice.deafened) {
      this.#set({ muted: false, deafened: false });
    } else {
      this.#set({ muted: !voice.muted });
    }
    await this.#ownChanged();
  }

  /** One who is deafened is not heard either; afterwards the microphone is as it was before. */
  async toggleDeafen() {
    const { voice } = this.#store.state;
    if (!IN_CALL.includes(voice.status) || this.#byOwner.server_deafened) return;
    this.#set({ deafened: !voice.deafened });
    await this.#ownChanged();
  }

  /** Turns the camera on, the one that was chosen. Throws `DeviceProblem`. */
  async openCamera() {
    const turn = this.#turn;
    if (!IN_CALL.includes(this.#store.state.voice.status)) return;
    await this.#sharing.openCamera(this.#chosen.camera);
    if (turn !== this.#turn && !IN_CALL.includes(this.#store.state.voice.status)) this.#sharing.close();
  }

  closeCamera() {
    this.#sharing.closeCamera();
  }

  /** Lets the person choose what of the screen to show; call it from a click. */
  async shareScreen() {
    const inCall = () => IN_CALL.includes(this.#store.state.voice.status);
    if (inCall()) await this.#sharing.openScreen(inCall);
  }

  stopScreen() {
    this.#sharing.closeScreen();
  }

  /** Whom one wants to see, the most important first: [{csrc, width (device pixels), priority (0 to 255), paused}]. */
  watch(wanted) {
    this.#wishes = assign(this.#store.state.voice.watched, wanted);
    this.#set({ watched: Object.fromEntries(this.#wishes.map(({ csrc, slot }) => [csrc, slot])) });
    this.#stay?.changed().catch(() => {});
  }

  /** Takes another device, now and in every later call: {microphone, camera, output, skipPreview}, what is left out stays. */
  async choose(change) {
    this.#store.change(({ devices }) => ({ devices: { ...devices, ...change } }));
    session.devices.set(this.#chosen);
    const { voice } = this.#store.state;
    try {
      if ("output" in change) await this.#playback?.choose(change.output);
      if ("camera" in change && voice.own.camera) await this.#sharing.openCamera(change.camera);
    } catch (error) {
      if (!(error instanceof DeviceProblem)) throw error;
      this.#on.notice(error.message, { wrong: true });
    }
    if ("microphone" in change && this.#microphone && (await this.#openMicrophone(this.#turn, { staying: true })))
      await this.#ownChanged();
  }

  /** How one hears somebody, here and in every later call: {volume, screen (0 to 2), silenced}. What is left out stays as it is. */
  setLoudness(userId, change) {
    this.#store.change(({ loudness }) => {
      const { [userId]: before, ...others } = loudness;
      const after = { ...AS_SENT, ...before, ...change };
      const usual = Object.entries(AS_SENT).every(([name, value]) => after[name] === value);
      return { loudness: usual ? others : { ...others, [userId]: after } };
    });
    session.loudness.set(this.#store.state.loudness);
    this.#stay?.changed();
  }

  resumeSound() {
    this.#playback?.resume();
  }

  dismissProblem() {
    if (this.#store.state.voice.status === "failed") this.leave();
    else this.#set({ problem: null });
  }

  /** `status`: what one sees meanwhile, connecting or reconnecting. What the API refuses to one who comes anew is said at once. */
  async #connect(turn, status) {
    const until = performance.now() + GIVE_UP_MS[status];
    for (let delay = FIRST_RETRY_MS; ; delay = Math.min(2 * delay, LONGEST_RETRY_MS)) {
      try {
        return await this.#enter(turn);
      } catch (error) {
        if (turn !== this.#turn) return undefined;
        const hopeless = !isPassing(error) || (status === "connecting" && error instanceof ApiError);
        if (hopeless || performance.now() > until) return this.#fail("connection", inWords(error));
        await sleep(Math.max(delay, (error.retryAfter ?? 0) * 1000));
        if (turn !== this.#turn) return undefined;
      }
    }
  }

  async #enter(turn) {
    await this.#leaving; // a leave that arrives after the join would undo it
    const { channelId } = this.#store.state.voice;
    const admission = await this.#api.join(channelId);
    if (turn !== this.#turn) return;
    const stay = new Stay(() => this.#own(), this.#playback, this.#reactions(turn));
    this.#stay = stay;
    await stay.enter(channelId, admission);
    if (turn !== this.#turn) return stay.close();
    this.#set({ status: "connected", sessionId: stay.sessionId });
    await this.#ownChanged(); // what was pressed meanwhile
  }

  #reactions(turn) {
    const reactions = {
      participants: (participants) => this.#participantsChanged(participants),
      voices: (voices) => this.#set(voices),
      heard: (heard) => this.#set({ heard }),
      videos: (videos) => this.#set({ videos }),
      videoTracks: (videoTracks) => this.#set({ videoTracks }),
      people: (people) => this.#set({ people }),
      refused: () => this.#videoRefused(),
      ping: (ms) => this.#set({ ping: Math.round(ms) }),
      quality: (quality) => this.#set({ quality }),
      whole: (whole) => this.#set({ status: whole ? "connected" : "reconnecting" }),
      moved: (channelId) => this.#moved(channelId),
      ended: (reason) => this.#ended(reason),
      lost: () => this.#reconnect(),
    };
    const whileMine = ([name, react]) => [name, (...values) => turn === this.#turn && react(...values)];
    return Object.fromEntries(Object.entries(reactions).map(whileMine));
  }

  #participantsChanged(participants) {
    const before = this.#byOwner.server_muted;
    this.#set({ participants, sessionId: this.#stay.sessionId });
    if (this.#microphone && before !== this.#byOwner.server_muted) this.#microphone.muted = this.#isSilent;
  }

  #moved(channelId) {
    const from = this.#store.state.voice.channelId;
    this.#set({ channelId, serverId: guildOf(this.#store.state, channelId)?.server.server_id ?? null, heard: {} });
    this.#on.moved(from, channelId);
  }

  #videoRefused() {
    if (!this.#sharing.sources.length) return;
    this.#sharing.close();
    const text = "You may not show video in this channel. Ask who runs the server for the permission.";
    this.#on.notice(text, { wrong: true });
  }

  #ended(reason) {
    if (reason in ENDED) this.#fail("ended", ENDED[reason]);
    else if (reason === "left") this.leave();
    else this.#reconnect();
  }

  /** A fresh stay, as the old one is over. */
  #reconnect() {
    this.#turn += 1;
    this.#stay = null;
    this.#wishes = [];
    this.#set({ ...GONE, status: "reconnecting" });
    this.#connect(this.#turn, "reconnecting");
  }

  #fail(kind, message) {
    this.#turn += 1;
    this.#close();
    this.#set({ ...GONE, status: "failed", problem: { kind, message }, participants: {}, soundBlocked: false });
  }

  #close() {
    for (const each of [this.#stay, this.#microphone, this.#playback]) each?.close();
    this.#stay = this.#microphone = this.#playback = null;
    this.#wishes = [];
    this.#sharing.close();
  }

  #openPlayback() {
    const playback = new Playback({
      blocked: (soundBlocked) => playback === this.#playback && this.#set({ soundBlocked }),
      outputLost: () => this.#on.notice("What you listened with went away. The sound comes from the system's output now."),
    });
    playback.choose(this.#chosen.output);
    return playback;
  }

  get #chosen() {
    return this.#store.state.devices;
  }

  /** Whether there is one now. `staying`: the call goes on without. */
  async #openMicrophone(turn, { staying = false } = {}) {
    try {
      const microphone = await Microphone.open(this.#chosen.microphone, () => this.#microphoneLost(microphone));
      if (turn !== this.#turn) {
        microphone.close();
        return false;
      }
      this.#microphone?.close();
      this.#microphone = microphone;
      microphone.muted = this.#isSilent;
      return true;
    } catch (error) {
      if (turn !== this.#turn) return false;
      if (!(error instanceof DeviceProblem)) throw error;
      if (staying) this.#set({ problem: { kind: "microphone", message: error.message } });
      else this.#fail("microphone", error.message);
      return false;
    }
  }

  /** Unplugged. Another one is taken if there is one. */
  async #microphoneLost(microphone) {
    if (microphone !== this.#microphone) return;
    this.#microphone = null;
    microphone.close();
    if (await this.#openMicrophone(this.#turn, { staying: true })) {
      this.#set({ problem: null });
      this.#on.notice(`Your microphone went away. ${this.#microphone.name} is used now.`);
    } else {
      const message = "Your microphone went away. You still hear everyone; unmute to try it again.";
      this.#set({ listening: true, muted: true, problem: { kind: "microphone", message } });
    }
    await this.#ownChanged();
  }

  async #ownChanged() {
    if (this.#microphone) this.#microphone.muted = this.#isSilent;
    await this.#stay?.changed().catch(() => {}); // a stay that closes meanwhile has nothing to change
  }

  /** What who runs the server decided about oneself: server_muted, server_deafened. */
  get #byOwner() {
    const { voice } = this.#store.state;
    return voice.participants[voice.sessionId] ?? {};
  }

  get #isSilent() {
    const { muted, deafened } = this.#store.state.voice;
    return muted || deafened || Boolean(this.#byOwner.server_muted);
  }

  #own() {
    const { muted, deafened } = this.#store.state.voice;
    const microphone = this.#microphone;
    const of = (userId) => this.#store.state.loudness[userId] ?? AS_SENT;
    return {
      tracks: { microphone: microphone?.track ?? null, ...this.#sharing.tracks },
      sources: this.#sharing.sources,
      wishes: this.#wishes,
      level: microphone && !this.#isSilent ? microphone.level : 0,
      muted: muted || deafened,
      deafened,
      isSilenced: (userId) => of(userId).silenced,
      volumeOf: (userId) => (of(userId).silenced ? 0 : of(userId).volume),
      screenVolumeOf: (userId) => of(userId).screen ?? AS_SENT.screen,
    };
  }

  #set(change) {
    this.#store.change(({ voice }) => ({ voice: { ...voice, ...change } }));
  }
}

/** What goes with a stay. */
const GONE = Object.freeze({
  sessionId: null,
  ping: null,
  quality: null,
  speaking: {},
  dominant: null,
  heard: {},
  watched: {},
  videos: {},
  videoTracks: [],
  people: {},
});

/** From Wi-Fi to mobile and the like. `change` also comes when only the browser's guess of the speed changed. */
function onOtherNetwork(react) {
  const { connection } = navigator;
  let type = connection?.type;
  connection?.addEventListener?.("change", () => {
    const before = type;
    type = connection.type;
    if (type !== before) react();
  });
}
