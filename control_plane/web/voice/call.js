/**
 * The call one is in, or none: joins, joins again when the node is lost, mutes, deafens, leaves. Writes `state.voice` and
 * `state.loudness`.
 *
 * status: idle → asking (for the microphone) → connecting → connected ⇄ reconnecting; failed says why in `problem`.
 */

import { ApiError } from "../api.js";
import * as session from "../session.js";
import { AS_SENT, NO_CALL, guildOf } from "../state.js";
import { Microphone, MicrophoneProblem } from "./microphone.js";
import { Playback } from "./playback.js";
import { Refused, SignallingLost } from "./signalling.js";
import { Stay } from "./stay.js";
import { TransportFailed } from "./transport.js";

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
  #playback = null;
  #stay = null;
  #leaving = null;
  #turn = 0; // counts joins and leaves: what an earlier one still does is void

  /** `on`: notice(text) for what happened by itself, moved(from, to) when someone put one into another channel. */
  constructor(store, api, on) {
    this.#store = store;
    this.#api = api;
    this.#on = on;
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

  /** How one hears somebody, here and in every later call: {volume (0 to 2), silenced}. What is left out stays as it is. */
  setLoudness(userId, change) {
    this.#store.change(({ loudness }) => {
      const { [userId]: before = AS_SENT, ...others } = loudness;
      const after = { ...before, ...change };
      const usual = after.volume === AS_SENT.volume && !after.silenced;
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

  #ended(reason) {
    if (reason in ENDED) this.#fail("ended", ENDED[reason]);
    else if (reason === "left") this.leave();
    else this.#reconnect();
  }

  /** A fresh stay, as the old one is over. */
  #reconnect() {
    this.#turn += 1;
    this.#stay = null;
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
  }

  #openPlayback() {
    const playback = new Playback((soundBlocked) => playback === this.#playback && this.#set({ soundBlocked }));
    return playback;
  }

  /** Whether there is one now. `staying`: the call goes on without. */
  async #openMicrophone(turn, { staying = false } = {}) {
    try {
      const microphone = await Microphone.open(() => this.#microphoneLost(microphone));
      if (turn !== this.#turn) {
        microphone.close();
        return false;
      }
      this.#microphone = microphone;
      microphone.muted = this.#isSilent;
      return true;
    } catch (error) {
      if (turn !== this.#turn) return false;
      if (!(error instanceof MicrophoneProblem)) throw error;
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
      track: microphone?.track ?? null,
      level: microphone && !this.#isSilent ? microphone.level : 0,
      muted: muted || deafened,
      deafened,
      isSilenced: (userId) => of(userId).silenced,
      volumeOf: (userId) => (of(userId).silenced ? 0 : of(userId).volume),
    };
  }

  #set(change) {
    this.#store.change(({ voice }) => ({ voice: { ...voice, ...change } }));
  }
}

/** What goes with a stay. */
const GONE = Object.freeze({ sessionId: null, ping: null, quality: null, speaking: {}, dominant: null, heard: {} });

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
