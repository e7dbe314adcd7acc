/**
 * The call one is in, or none: joins, joins again when the node or the network is lost, mutes, leaves. Writes `state.voice`.
 *
 * status: idle → asking (for the microphone) → connecting → connected ⇄ reconnecting; failed says why in `problem`.
 */

import { ApiError } from "../api.js";
import { NO_CALL, guildOf } from "../state.js";
import { Microphone, MicrophoneProblem } from "./microphone.js";
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
  #microphone = null;
  #stay = null;
  #leaving = null;
  #turn = 0; // counts joins and leaves: what an earlier one still does is void

  constructor(store, api) {
    this.#store = store;
    this.#api = api;
    // Best effort: else the others see one for as long as it takes the node to notice.
    addEventListener("pagehide", () => this.leave());
  }

  /** Never throws: what goes wrong is in `state.voice.problem`. `listening`: without asking for a microphone. */
  async join(channelId, { listening = false } = {}) {
    const { voice } = this.#store.state;
    if (voice.channelId === channelId && voice.status !== "failed") return;
    this.leave();
    const turn = this.#turn;
    const serverId = guildOf(this.#store.state, channelId)?.server.server_id ?? null;
    const muted = listening || (voice.muted && !voice.listening); // one who muted before does not expect to be heard in the next channel
    this.#set({ ...NO_CALL, status: listening ? "connecting" : "asking", serverId, channelId, muted, listening });
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
      this.#store.change(({ voice }) => ({ voice: { ...NO_CALL, muted: voice.muted && !voice.listening } }));
  }

  /** One who listens without a microphone is asked for it again. */
  async toggleMute() {
    const { voice } = this.#store.state;
    if (!["connecting", "connected", "reconnecting"].includes(voice.status)) return;
    if (voice.listening) {
      if (!(await this.#openMicrophone(this.#turn, { staying: true }))) return;
      this.#set({ listening: false, muted: false, problem: null });
    } else {
      this.#set({ muted: !voice.muted });
    }
    await this.#microphoneChanged();
  }

  async resumeSound() {
    try {
      await this.#stay?.resumeSound();
      this.#set({ soundBlocked: false });
    } catch {
      // The button stays.
    }
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
    const mine = (change) => (value) => turn === this.#turn && change(value);
    const stay = new Stay(() => this.#own(), {
      participants: mine((participants) => this.#set({ participants })),
      speaking: mine((speaking) => this.#set({ speaking })),
      ping: mine((ms) => this.#set({ ping: Math.round(ms) })),
      blocked: mine(() => this.#set({ soundBlocked: true })),
      ended: mine((reason) => this.#ended(reason)),
      lost: mine(() => this.#reconnect()),
    });
    this.#stay = stay;
    await stay.enter(admission);
    if (turn !== this.#turn) return stay.close();
    this.#set({ status: "connected", sessionId: stay.sessionId });
    await this.#microphoneChanged(); // what was pressed meanwhile
  }

  #ended(reason) {
    if (reason in ENDED) this.#fail("ended", ENDED[reason]);
    else if (reason === "left") this.leave();
    else this.#reconnect();
  }

  #reconnect() {
    this.#turn += 1;
    this.#set({ status: "reconnecting", ping: null, speaking: {} });
    this.#connect(this.#turn, "reconnecting");
  }

  #fail(kind, message) {
    this.#turn += 1;
    this.#close();
    this.#set({
      status: "failed",
      problem: { kind, message },
      participants: {},
      speaking: {},
      ping: null,
      sessionId: null,
    });
  }

  #close() {
    this.#stay?.close();
    this.#stay = null;
    this.#microphone?.close();
    this.#microphone = null;
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
      microphone.muted = this.#store.state.voice.muted;
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
    if (!(await this.#openMicrophone(this.#turn, { staying: true }))) {
      const message = "Your microphone went away. You still hear everyone; unmute to try it again.";
      this.#set({ listening: true, muted: true, problem: { kind: "microphone", message } });
    }
    await this.#microphoneChanged();
  }

  async #microphoneChanged() {
    const { muted } = this.#store.state.voice;
    if (this.#microphone) this.#microphone.muted = muted;
    await this.#stay?.microphoneChanged().catch(() => {}); // a stay that closes meanwhile has nothing to change
  }

  #own() {
    const { muted } = this.#store.state.voice;
    const microphone = this.#microphone;
    return { track: microphone?.track ?? null, level: microphone && !muted ? microphone.level : 0, muted };
  }

  #set(change) {
    this.#store.change(({ voice }) => ({ voice: { ...voice, ...change } }));
  }
}
