/**
 * One stay at one media node: signalling and transport, opened together and closed together. Either may be replaced by another one
 * while the stay goes on.
 */

import { LipSync } from "./lipsync.js";
import { Mender } from "./mender.js";
import { Quality } from "./quality.js";
import { Reception } from "./reception.js";
import { Signalling } from "./signalling.js";
import { Slots } from "./slots.js";
import { Speakers } from "./speakers.js";
import { Transport } from "./transport.js";
import { VideoSlots } from "./video_slots.js";

const MAX_IGNORED = 256; // as in proto/signalling.py

/** What a new stay is like without a word: nobody muted, deafened or ignored, nothing shown and nothing watched. */
const UNTOLD = {
  mute: '{"muted":false}',
  deafen: '{"deafened":false}',
  ignore: '{"csrcs":[]}',
  share: '{"sources":[]}',
  watch: '{"slots":[]}',
};

/** Of these, silence is understood: they are not said again before they were said once. */
const RARE = new Set(["share", "watch"]);

export class Stay {
  #on;
  #own;
  #playback;
  #admission = null;
  #signalling = null;
  #transport = null;
  #slots = null;
  #videoSlots = null;
  #speakers = null;
  #quality = null;
  #reception = new Reception();
  #lipSync = new LipSync();
  #mender = null;
  #participants = new Map(); // session id → Participant
  #byCsrc = new Map(); // csrc → Participant
  #byScreen = new Map(); // screen_csrc → Participant
  #produced = new Map(); // source → what the node wants of it, `Produce`
  #sessionId = null;
  #channelId = null;
  #csrc = null;
  #token = null;
  #heartbeat = 0;
  #told = new Map(Object.entries(UNTOLD)); // op → what the node was last told
  #said = new Set(); // ops
  #closed = false;

  /**
   * `own()`: {tracks, level, muted, deafened, sources} of oneself, tracks as in transport.js, and what one wants of others: wishes
   * (of `Watch`), and by user id volumeOf, screenVolumeOf (0 to 2), isSilenced. `on`: participants(by session id),
   * voices({speaking, dominant}), heard(by session id), videos(by slot), videoTracks(by slot) when they are other ones, ping(ms),
   * quality(figures), people(figures by session id), whole(boolean) whether all works, refused(code) what was asked on the way,
   * moved(channelId), ended(reason), lost() when one has to join anew.
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
    await this.#transport?.setTracks(this.#own().tracks);
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
    for (const each of [this.#mender, this.#slots, this.#videoSlots, this.#speakers, this.#quality]) each?.close();
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
    const transport = new Transport(this.#admission.ice_servers, this.#own().tracks, this.#playback, {
      state: (state) => transport === this.#transport && this.#transportState(state),
    });
    for (const [source, wanted] of this.#produced) transport.produce(source, wanted);
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
    this.#videoSlots = new VideoSlots(
      () => this.#transport.videoReceivers,
      () => this.#tellVideos(),
    );
    const sources = {
      sessionOf: (csrc) => this.#byCsrc.get(csrc)?.session_id,
      own: () => ({ sessionId: this.#sessionId, level: this.#own().level }),
    };
    this.#speakers = new Speakers(sources, (voices) => this.#on.voices(voices));
    this.#quality = new Quality(
      () => this.#transport.stats(),
      { change: (quality) => this.#on.quality(quality), report: (report, quality) => this.#measure(report, quality) },
    );
    this.#tellTracks();
  }

  /** What Joined and Resumed have in common. */
  #settleIn({ session_id: sessionId, csrc, token, participants, slots, videos = [] }) {
    this.#sessionId = sessionId;
    this.#csrc = csrc;
    this.#token = token;
    this.#meet(participants);
    this.#slots.announce(slots);
    this.#announceVideos(videos);
    this.#tell();
  }

  async #resume() {
    this.#signalling.drop();
    this.#signalling = this.#newSignalling();
    const resumed = await this.#signalling.resume(this.#token, this.#heartbeat);
    if (this.#closed) return;
    // What was said last may not have arrived.
    for (const op of [...this.#told.keys()]) if (!RARE.has(op) || this.#said.has(op)) this.#told.delete(op);
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
    this.#tellTracks();
    await transport.setTracks(this.#own().tracks); // they may have become other ones meanwhile
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
      case "videos":
        return this.#announceVideos(frame.videos);
      case "produce":
        this.#produced.set(frame.source, frame);
        return this.#transport.produce(frame.source, frame);
      case "speakers":
        return this.#speakers.told(frame);
      case "moved":
        this.#move(frame);
        this.#meet(frame.participants);
        this.#announceVideos(frame.videos ?? []);
        return this.#slots.announce(frame.slots);
      case "restart":
        return this.#broken("transport");
      case "refused":
        return this.#on.refused(frame.code);
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
    this.#videoSlots.clear();
    this.#speakers.told({ speaking: [], dominant: null });
    this.#on.moved(channelId);
  }

  /** Everyone who is here now. */
  #meet(participants) {
    this.#participants = new Map(participants.map((each) => [each.session_id, each]));
    this.#byCsrc = new Map(participants.map((each) => [each.csrc, each]));
    this.#byScreen = new Map(participants.map((each) => [each.screen_csrc, each]));
    this.#on.participants(Object.fromEntries(this.#participants));
    this.#tell(); // who has just come may be one whom one does not want to hear
    this.#setLoudness();
    this.#tellHeard();
    this.#speakers.look();
  }

  /** Tells the node what it does not know yet. */
  #tell() {
    if (this.#sessionId === null) return;
    const { muted, deafened, isSilenced, sources, wishes } = this.#own();
    const silenced = [...this.#participants.values()].filter((each) => isSilenced(each.user_id));
    const csrcs = silenced.map((each) => each.csrc).sort((a, b) => a - b);
    this.#say("mute", { muted });
    this.#say("deafen", { deafened });
    this.#say("ignore", { csrcs: csrcs.slice(0, MAX_IGNORED) });
    this.#say("share", { sources });
    this.#say("watch", { slots: wishes });
  }

  #say(op, content) {
    const text = JSON.stringify(content);
    if (this.#told.get(op) === text) return;
    this.#told.set(op, text);
    this.#said.add(op);
    this.#signalling.send({ op, ...content });
  }

  #setLoudness(transport = this.#transport) {
    const { deafened, volumeOf, screenVolumeOf } = this.#own();
    for (const slot of transport?.receivers.keys() ?? []) {
      const csrc = this.#slots?.csrcOf(slot);
      const [who, screen] = [this.#byCsrc.get(csrc), this.#byScreen.get(csrc)];
      const loudness = who ? volumeOf(who.user_id) : screen ? screenVolumeOf(screen.user_id) : 1;
      transport.setLoudness(slot, deafened ? 0 : loudness);
    }
  }

  #announceVideos(states) {
    this.#videoSlots.announce(states);
    this.#tellVideos();
  }

  #tellVideos() {
    this.#on.videos(this.#videoSlots.shown);
  }

  #tellTracks() {
    this.#on.videoTracks(this.#transport.videoReceivers.map(({ track }) => track));
  }

  /** Of a hidden page little is shown, so that there is nothing to judge. */
  #measure(report, quality) {
    const { mids, receivers, videoReceivers } = this.#transport;
    const shown = this.#videoSlots.shown;
    const wanted = new Set(this.#own().wishes.filter(({ paused }) => !paused).map(({ slot }) => slot));
    const audio = mids.audio.map((mid, slot) => ({ mid, kind: "audio", csrc: this.#slots.csrcOf(slot), receiver: receivers[slot] }));
    const video = mids.video.map((mid, slot) => {
      const state = (wanted.has(slot) && shown[slot]) || { csrc: null };
      return { mid, kind: "video", csrc: state.csrc, state, receiver: videoReceivers[slot] };
    });
    const pairs = video.flatMap((each) => {
      const sound = each.csrc === null ? undefined : audio.find(({ csrc }) => csrc === each.csrc);
      return sound ? [{ audio: sound, video: each }] : [];
    });
    this.#lipSync.look(report, pairs);
    if (document.visibilityState === "hidden") return;
    this.#on.people(this.#reception.look(report, [...audio, ...video], [...this.#participants.values()], quality));
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
