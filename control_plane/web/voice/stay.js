/**
 * One stay at one media node: signalling and transport, opened together and closed together. Either may be replaced by another one
 * while the stay goes on.
 */

import { Mender } from "./mender.js";
import { Quality } from "./quality.js";
import { Signalling } from "./signalling.js";
import { Slots } from "./slots.js";
import { Speakers } from "./speakers.js";
import { Transport } from "./transport.js";

const MAX_IGNORED = 256; // as in proto/signalling.py

/** What a new stay is like without a word: nobody muted, deafened or ignored. */
const UNTOLD = { mute: '{"muted":false}', deafen: '{"deafened":false}', ignore: '{"csrcs":[]}' };

export class Stay {
  #on;
  #own;
  #playback;
  #admission = null;
  #signalling = null;
  #transport = null;
  #slots = null;
  #speakers = null;
  #quality = null;
  #mender = null;
  #participants = new Map(); // session id → Participant
  #byCsrc = new Map(); // csrc → Participant
  #sessionId = null;
  #channelId = null;
  #csrc = null;
  #token = null;
  #heartbeat = 0;
  #told = new Map(Object.entries(UNTOLD)); // op → what the node was last told
  #closed = false;

  /**
   * `own()`: {track, level, muted, deafened} of oneself, track null without a microphone, and what one wants of others, by user
   * id: volumeOf (0 to 2), isSilenced. `on`: participants(by session id), voices({speaking, dominant}), heard(by session id),
   * ping(ms), quality(figures), whole(boolean) whether all works, moved(channelId), ended(reason), lost() when one has to
   * join anew.
   */
  constructor(own, playback, on) {
    this.#own = own;
    this.#playback = playback;
    this.#on = on;
  }

  get sessionId() {
    return this.#sessionId;
  }

  /** Resolves when one can hear and be heard. Throws what the transport and the signalling throw; then it is closed. */
  async enter(channelId, admission) {
    this.#channelId = channelId;
    this.#admission = admission;
    try {
      this.#transport = this.#newTransport();
      await this.#transport.negotiate(async (offer) => {
        this.#signalling = this.#newSignalling();
        if (this.#closed) throw new Error("left while joining");
        const joined = await this.#signalling.join(admission.grant, offer);
        this.#heartbeat = joined.heartbeat_ms;
        this.#begin();
        this.#settleIn(joined);
        return joined.answer;
      });
      if (this.#closed) throw new Error("left while joining");
      this.#mender = this.#newMender();
    } catch (error) {
      this.close();
      throw error;
    }
  }

  /** What `own` says is different now. */
  async changed() {
    this.#tell();
    this.#setLoudness();
    await this.#transport?.setTrack(this.#own().track);
  }

  /** The network may be another one: new ways are tried at once, on a new socket. */
  networkChanged() {
    if (!this.#mender) return;
    this.#mender.broken("socket");
    this.#mender.broken("ice");
    this.#mender.hurry();
  }

  close() {
    this.#closed = true;
    for (const each of [this.#mender, this.#slots, this.#speakers, this.#quality]) each?.close();
    this.#signalling?.close();
    this.#transport?.close();
  }

  #newSignalling() {
    const signalling = new Signalling(this.#admission.signalling, {
      frame: (frame) => signalling === this.#signalling && this.#receive(frame),
      ping: (ms) => this.#on.ping(ms),
      lost: () => signalling === this.#signalling && this.#broken("socket"),
    });
    return signalling;
  }

  #newTransport() {
    const transport = new Transport(this.#admission.ice_servers, this.#own().track, this.#playback, {
      state: (state) => transport === this.#transport && this.#transportState(state),
    });
    this.#setLoudness(transport);
    return transport;
  }

  #newMender() {
    return new Mender(
      {
        resume: () => this.#resume(),
        restartIce: () => this.#transport.negotiate((offer) => this.#signalling.offer(offer), { iceRestart: true }),
        renew: () => this.#renew(),
        mediaFlows: () => this.#transport.connected,
      },
      { changed: () => this.#tellWhole(), lost: () => this.#lost() },
    );
  }

  #begin() {
    this.#slots = new Slots(
      () => this.#transport.receivers,
      () => {
        this.#setLoudness();
        this.#tellHeard();
      },
    );
    const sources = {
      sessionOf: (csrc) => this.#byCsrc.get(csrc)?.session_id,
      own: () => ({ sessionId: this.#sessionId, level: this.#own().level }),
    };
    this.#speakers = new Speakers(sources, (voices) => this.#on.voices(voices));
    this.#quality = new Quality(
      () => this.#transport.stats(),
      (quality) => this.#on.quality(quality),
    );
  }

  /** What Joined and Resumed have in common. */
  #settleIn({ session_id: sessionId, csrc, token, participants, slots }) {
    this.#sessionId = sessionId;
    this.#csrc = csrc;
    this.#token = token;
    this.#meet(participants);
    this.#slots.announce(slots);
    this.#tell();
  }

  async #resume() {
    this.#signalling.drop();
    this.#signalling = this.#newSignalling();
    const resumed = await this.#signalling.resume(this.#token, this.#heartbeat);
    if (this.#closed) return;
    this.#told.clear(); // what was said last may not have arrived
    this.#move(resumed);
    this.#settleIn(resumed);
    if (resumed.restart) this.#broken("transport");
  }

  /** A new transport beside the old one, which the node lets go when the new one is connected. */
  async #renew() {
    const transport = this.#newTransport();
    try {
      await transport.negotiate((offer) => this.#signalling.offer(offer));
      if (this.#closed) throw new Error("left while coming back");
    } catch (error) {
      transport.close();
      throw error;
    }
    this.#transport.close();
    this.#transport = transport;
    await transport.setTrack(this.#own().track); // it may have become another one meanwhile
  }

  #receive(frame) {
    switch (frame.op) {
      case "arrived":
      case "changed":
        this.#participants.set(frame.participant.session_id, frame.participant);
        return this.#meet([...this.#participants.values()]);
      case "departed":
        this.#participants.delete(frame.session_id);
        return this.#meet([...this.#participants.values()]);
      case "slots":
        return this.#slots.announce(frame.slots);
      case "speakers":
        return this.#speakers.told(frame);
      case "moved":
        this.#move(frame);
        this.#meet(frame.participants);
        return this.#slots.announce(frame.slots);
      case "restart":
        return this.#broken("transport");
      case "ended":
        return this.#leaveWith(() => this.#on.ended(frame.reason));
      default:
        return undefined; // of a later version of the protocol
    }
  }

  #move({ channel_id: channelId }) {
    if (channelId === this.#channelId) return;
    this.#channelId = channelId;
    this.#slots.clear();
    this.#speakers.told({ speaking: [], dominant: null });
    this.#on.moved(channelId);
  }

  /** Everyone who is here now. */
  #meet(participants) {
    this.#participants = new Map(participants.map((each) => [each.session_id, each]));
    this.#byCsrc = new Map(participants.map((each) => [each.csrc, each]));
    this.#on.participants(Object.fromEntries(this.#participants));
    this.#tell(); // who has just come may be one whom one does not want to hear
    this.#setLoudness();
    this.#tellHeard();
    this.#speakers.look();
  }

  /** Tells the node what it does not know yet. */
  #tell() {
    if (this.#sessionId === null) return;
    const { muted, deafened, isSilenced } = this.#own();
    const silenced = [...this.#participants.values()].filter((each) => isSilenced(each.user_id));
    const csrcs = silenced.map((each) => each.csrc).sort((a, b) => a - b);
    this.#say("mute", { muted });
    this.#say("deafen", { deafened });
    this.#say("ignore", { csrcs: csrcs.slice(0, MAX_IGNORED) });
  }

  #say(op, content) {
    const text = JSON.stringify(content);
    if (this.#told.get(op) === text) return;
    this.#told.set(op, text);
    this.#signalling.send({ op, ...content });
  }

  #setLoudness(transport = this.#transport) {
    const { deafened, volumeOf } = this.#own();
    for (const slot of transport?.receivers.keys() ?? []) {
      const who = this.#byCsrc.get(this.#slots?.csrcOf(slot));
      transport.setLoudness(slot, deafened ? 0 : who ? volumeOf(who.user_id) : 1);
    }
  }

  /** Who is in the slots, oneself apart: in one's own slot nothing is heard. */
  #tellHeard() {
    const csrcs = this.#transport.receivers.map((_, slot) => this.#slots.csrcOf(slot));
    const heard = csrcs.filter((each) => each !== null && each !== this.#csrc).map((each) => this.#byCsrc.get(each));
    this.#on.heard(Object.fromEntries(heard.filter(Boolean).map((each) => [each.session_id, true])));
  }

  #transportState(state) {
    if (state === "connected") this.#mender?.whole("ice");
    else if (["disconnected", "failed"].includes(state)) this.#broken("ice");
    this.#tellWhole();
  }

  /** Until one is in, `enter` looks after everything. */
  #broken(what) {
    if (!this.#closed) this.#mender?.broken(what);
  }

  #tellWhole() {
    if (this.#closed || !this.#mender) return;
    const works = !this.#mender.needs("socket") && !this.#mender.needs("transport") && this.#transport.connected;
    this.#on.whole(works);
  }

  #lost() {
    this.#leaveWith(() => this.#on.lost());
  }

  #leaveWith(tell) {
    if (this.#closed) return;
    this.close();
    tell();
  }
}
