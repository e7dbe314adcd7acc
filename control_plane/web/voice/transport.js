/**
 * One peer connection: one microphone up, a fixed number of slots down, all on one transport.
 *
 * The offer is made once and covers the whole stay: the microphone's track may come, go and be replaced without another one. Only
 * an ICE restart offers again.
 */

const AUDIO_SLOTS = 8; // as in proto/signalling.py
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
  #sender;
  #slots = []; // {receiver, player}

  /** `playback`: where the slots are heard. `on`: state(connectionState). */
  constructor(iceServers, track, playback, on) {
    const connection = new RTCPeerConnection({ iceServers: iceServers.map(clean), bundlePolicy: "max-bundle" });
    this.#connection = connection;
    this.#sender = connection.addTransceiver(track ?? "audio", { direction: "sendonly" }).sender;
    for (let slot = 0; slot < AUDIO_SLOTS; slot += 1) {
      const { receiver } = connection.addTransceiver("audio", { direction: "recvonly" });
      this.#slots.push({ receiver, player: playback.play(receiver.track) });
    }
    connection.addEventListener("connectionstatechange", () => on.state(connection.connectionState));
  }

  get connected() {
    return this.#connection.connectionState === "connected";
  }

  /** By slot. */
  get receivers() {
    return this.#slots.map(({ receiver }) => receiver);
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
    await this.#becomesConnected(iceRestart ? RESTART_MS : CONNECT_MS);
  }

  /** `null`: nothing is sent. */
  async setTrack(track) {
    await this.#sender.replaceTrack(track);
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
