/**
 * The peer connection of one stay: one microphone up, a fixed number of slots down, all on one transport.
 *
 * The offer is made once and covers the whole stay: the microphone's track may come, go and be replaced without another one.
 */

const AUDIO_SLOTS = 8; // as in proto/signalling.py
const CONNECT_MS = 10_000;

/** No way through to the node's UDP port was found, or it was lost. */
export class TransportFailed extends Error {
  constructor() {
    super("No audio gets through to the voice server: a firewall may be blocking UDP.");
    this.name = "TransportFailed";
  }
}

export class Transport {
  #connection;
  #sender;
  #players = [];
  #on;

  /** `on`: state(connectionState), blocked() when the browser wants a click before it plays sound. */
  constructor(iceServers, track, on) {
    this.#on = on;
    const connection = new RTCPeerConnection({ iceServers: iceServers.map(clean), bundlePolicy: "max-bundle" });
    this.#connection = connection;
    this.#sender = connection.addTransceiver(track ?? "audio", { direction: "sendonly" }).sender;
    for (let slot = 0; slot < AUDIO_SLOTS; slot += 1)
      this.#play(connection.addTransceiver("audio", { direction: "recvonly" }));
    connection.addEventListener("connectionstatechange", () => on.state(connection.connectionState));
  }

  /** The SDP, without waiting for candidates: the node is reachable by its own and learns ours from our checks. */
  async offer() {
    await this.#connection.setLocalDescription();
    return this.#connection.localDescription.sdp;
  }

  /** Resolves when media flows. Throws `TransportFailed`. */
  async accept(answer) {
    const connection = this.#connection;
    await connection.setRemoteDescription({ type: "answer", sdp: answer });
    await new Promise((resolve, reject) => {
      const timer = setTimeout(() => finish(new TransportFailed()), CONNECT_MS);
      const look = () => {
        if (connection.connectionState === "connected") finish();
        else if (["failed", "closed"].includes(connection.connectionState)) finish(new TransportFailed());
      };
      const finish = (error) => {
        clearTimeout(timer);
        connection.removeEventListener("connectionstatechange", look);
        if (error) reject(error);
        else resolve();
      };
      connection.addEventListener("connectionstatechange", look);
      look();
    });
  }

  /** `null`: nothing is sent. */
  async setTrack(track) {
    await this.#sender.replaceTrack(track);
  }

  get receivers() {
    return this.#players.map(({ receiver }) => receiver);
  }

  /** Starts what the browser did not want to start by itself; call it from a click. */
  async resume() {
    await Promise.all(this.#players.map(({ element }) => element.play()));
  }

  close() {
    this.#connection.close();
    for (const { element } of this.#players) {
      element.srcObject = null;
      element.remove();
    }
  }

  #play({ receiver }) {
    const element = document.createElement("audio");
    element.autoplay = true;
    element.hidden = true;
    element.srcObject = new MediaStream([receiver.track]);
    document.body.append(element);
    element.play().catch((error) => error.name === "NotAllowedError" && this.#on.blocked());
    this.#players.push({ receiver, element });
  }
}

/** Browsers refuse null where a string may be left out. */
const clean = (server) => Object.fromEntries(Object.entries(server).filter(([, value]) => value != null));
