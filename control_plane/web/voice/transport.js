/**
 * One peer connection: microphone, screen audio, camera and screen up, a fixed number of slots down, all on one transport.
 *
 * The offer is made once and covers the whole stay: tracks may come, go and be replaced without another one. Only an ICE restart
 * offers again.
 */

import { CAMERA, SCREEN, addSender, restrictCodecs } from "./encodings.js";

const AUDIO_SLOTS = 8; // as in proto/signalling.py
export const VIDEO_SLOTS = 9; // as in proto/signalling.py
const CONNECT_MS = 10_000;
const RESTART_MS = 5_000; // the node is known to be there

/** No way through to the node was found, or it was lost. */
export class TransportFailed extends Error {
  constructor() {
    super("No audio gets through to the voice server: a firewall may be blocking it.");
    this.name = "TransportFailed";
  }
}

export class Transport {
  #connection;
  #senders; // of sound: {microphone, screenSound}
  #pictures; // {camera, screen}: PictureSender
  #slots = []; // {transceiver, player}
  #videos = []; // RTCRtpTransceiver

  /**
   * `tracks`: {microphone, screenSound, camera, screen}, null where there is none. `playback`: where the slots are heard.
   * `on`: state(connectionState).
   */
  constructor(iceServers, tracks, playback, on) {
    const connection = new RTCPeerConnection({ iceServers: iceServers.map(clean), bundlePolicy: "max-bundle" });
    const sending = (track) => connection.addTransceiver(track ?? "audio", { direction: "sendonly" }).sender;
    this.#connection = connection;
    // The node takes the first sending line of a kind for the microphone or the camera, the second for the screen.
    this.#senders = { microphone: sending(tracks.microphone), screenSound: sending(tracks.screenSound) };
    for (let slot = 0; slot < AUDIO_SLOTS; slot += 1) {
      const transceiver = connection.addTransceiver("audio", { direction: "recvonly" });
      this.#slots.push({ transceiver, player: playback.play(transceiver.receiver.track) });
    }
    this.#pictures = {
      camera: addSender(connection, tracks.camera, CAMERA),
      screen: addSender(connection, tracks.screen, SCREEN),
    };
    for (let slot = 0; slot < VIDEO_SLOTS; slot += 1) {
      const transceiver = connection.addTransceiver("video", { direction: "recvonly" });
      restrictCodecs(transceiver);
      this.#videos.push(transceiver);
    }
    connection.addEventListener("connectionstatechange", () => on.state(connection.connectionState));
  }

  get connected() {
    return this.#connection.connectionState === "connected";
  }

  /** Of the audio slots, by slot. */
  get receivers() {
    return this.#slots.map(({ transceiver }) => transceiver.receiver);
  }

  /** Of the video slots, by slot. */
  get videoReceivers() {
    return this.#videos.map(({ receiver }) => receiver);
  }

  /** The m-lines of the slots, by slot: {audio, video}, as statistics name them. */
  get mids() {
    return { audio: this.#slots.map(({ transceiver }) => transceiver.mid), video: this.#videos.map(({ mid }) => mid) };
  }

  /**
   * Asks the node by `ask(offer)`, which resolves to its answer; resolves when media flows. The first offer, or with `iceRestart` a
   * new way for what is already there. Throws `TransportFailed` and what `ask` throws; afterwards it can be tried again.
   */
  async negotiate(ask, { iceRestart = false } = {}) {
    const connection = this.#connection;
    if (iceRestart) connection.restartIce();
    // The SDP, without waiting for candidates: the node is reachable by its own and learns ours from our checks.
    await connection.setLocalDescription();
    try {
      const answer = await ask(connection.localDescription.sdp);
      await connection.setRemoteDescription({ type: "answer", sdp: answer });
    } catch (error) {
      if (iceRestart && connection.signalingState === "have-local-offer")
        await connection.setLocalDescription({ type: "rollback" });
      throw error;
    }
    // Which codecs there are is known only now: what the node asked for before is asked again.
    for (const each of Object.values(this.#pictures)) each.produce(null);
    await this.#becomesConnected(iceRestart ? RESTART_MS : CONNECT_MS);
  }

  /** As in the constructor. What is the same goes on as it is. */
  async setTracks(tracks) {
    const sounds = Object.entries(this.#senders).map(
      ([name, sender]) => sender.track !== tracks[name] && sender.replaceTrack(tracks[name]),
    );
    const pictures = Object.entries(this.#pictures).map(([name, sender]) => sender.setTrack(tracks[name]));
    await Promise.all([...sounds, ...pictures]);
  }

  /** What the node wants of the camera or the screen: `{codec, encodings}` of a `Produce`. */
  produce(source, wanted) {
    this.#pictures[source]?.produce(wanted);
  }

  setLoudness(slot, loudness) {
    this.#slots[slot].player.loudness = loudness;
  }

  /** An RTCStatsReport. */
  stats() {
    return this.#connection.getStats();
  }

  close() {
    this.#connection.close();
    for (const { player } of this.#slots) player.close();
  }

  /** A connection that failed before an ICE restart still says so for a moment: only a new failure counts. */
  #becomesConnected(within) {
    const connection = this.#connection;
    if (connection.connectionState === "connected") return undefined;
    return new Promise((resolve, reject) => {
      const finish = (settle) => {
        clearTimeout(timer);
        connection.removeEventListener("connectionstatechange", look);
        settle();
      };
      const fail = () => finish(() => reject(new TransportFailed()));
      const look = () => {
        if (connection.connectionState === "connected") finish(resolve);
        else if (["failed", "closed"].includes(connection.connectionState)) fail();
      };
      const timer = setTimeout(fail, within);
      connection.addEventListener("connectionstatechange", look);
    });
  }
}

/** Browsers refuse null where a string may be left out. */
const clean = (server) => Object.fromEntries(Object.entries(server).filter(([, value]) => value != null));
