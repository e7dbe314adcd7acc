/**
 * One signalling WebSocket (proto/signalling.py): asks the node, hands on what it tells, and beats, which says whether it lives.
 * A stay may outlive it and go on with another one.
 */

const ANSWER_MS = 6_000; // a node that takes longer to answer is not well
const MISSED_BEATS = 3;
const NO_ANSWERS = new Set(["no_video"]); // refuses what was told, not what was asked

/** The node said no. `code` is one of the refusals of proto/signalling.py. */
export class Refused extends Error {
  constructor({ code, message }) {
    super(`The voice server refused: ${message}.`);
    this.name = "Refused";
    this.code = code;
  }
}

/** The socket closed, or nothing came back. */
export class SignallingLost extends Error {
  constructor() {
    super("The voice server cannot be reached.");
    this.name = "SignallingLost";
  }
}

export class Signalling {
  #socket;
  #on;
  #asked = null; // {answer, resolve, reject, timer}: one question at a time
  #beats = new Map(); // id → when sent, of those not returned
  #beatId = 0;
  #beatTimer = 0;
  #over = false;

  /** `on`: frame(frame) for what the node tells, ping(ms), lost(). `address`: a URL, or a path on the page's own origin. */
  constructor(address, on) {
    const url = new URL(address, location.href);
    if (url.protocol.startsWith("http")) url.protocol = url.protocol.replace("http", "ws");
    this.#on = on;
    this.#socket = new WebSocket(url);
    this.#socket.addEventListener("message", ({ data }) => this.#receive(JSON.parse(data)));
    this.#socket.addEventListener("close", () => this.#lost());
  }

  /** Resolves to the node's `Joined` frame. Throws `Refused` (which ends the socket) or `SignallingLost`, as all questions do. */
  async join(grant, offer) {
    const joined = await this.#ask({ op: "join", grant, offer }, "joined");
    this.#beatEvery(joined.heartbeat_ms);
    return joined;
  }

  /** Takes a stay over; resolves to the node's `Resumed` frame. `heartbeat`: ms, as the first socket was told. */
  async resume(token, heartbeat) {
    const resumed = await this.#ask({ op: "resume", token }, "resumed");
    this.#beatEvery(heartbeat);
    return resumed;
  }

  /** Resolves to the answer's SDP. `Refused` leaves everything as it was. */
  async offer(offer) {
    return (await this.#ask({ op: "offer", offer }, "answer")).answer;
  }

  send(frame) {
    if (!this.#over && this.#socket.readyState === WebSocket.OPEN) this.#socket.send(JSON.stringify(frame));
  }

  /** Says goodbye and closes. Nothing is reported afterwards. */
  close() {
    this.send({ op: "leave" });
    this.drop();
  }

  /** Closes without a word: the stay goes on. Nothing is reported afterwards, except to who is waiting for an answer. */
  drop() {
    if (this.#over) return;
    const asked = this.#settle();
    this.#end();
    asked?.reject(new SignallingLost());
  }

  #ask(frame, answer) {
    return new Promise((resolve, reject) => {
      if (this.#over) return reject(new SignallingLost());
      this.#settle()?.reject(new SignallingLost());
      this.#asked = { answer, resolve, reject, timer: setTimeout(() => this.#lost(), ANSWER_MS) };
      if (this.#socket.readyState === WebSocket.OPEN) return this.send(frame);
      return this.#socket.addEventListener("open", () => this.send(frame), { once: true });
    });
  }

  #receive(frame) {
    if (this.#over) return;
    if (frame.op === this.#asked?.answer) this.#settle().resolve(frame);
    else if (frame.op === "refused") this.#refused(frame);
    else if (frame.op === "beat") this.#returned(frame.id);
    else this.#on.frame(frame);
  }

  #refused(frame) {
    if (NO_ANSWERS.has(frame.code)) return this.#on.frame(frame);
    const asked = this.#settle();
    if (!asked) return undefined;
    if (asked.answer !== "answer") this.#end();
    return asked.reject(new Refused(frame));
  }

  /** Missed beats are counted, not timed: in a hidden tab the browser itself beats late. */
  #beatEvery(interval) {
    this.#beatTimer = setInterval(() => {
      if (this.#beats.size >= MISSED_BEATS) return this.#lost();
      this.#beatId += 1;
      this.#beats.set(this.#beatId, performance.now());
      return this.send({ op: "beat", id: this.#beatId });
    }, interval);
  }

  #returned(id) {
    const sent = this.#beats.get(id);
    if (sent === undefined) return;
    for (const each of this.#beats.keys()) if (each <= id) this.#beats.delete(each);
    this.#on.ping(performance.now() - sent);
  }

  #lost() {
    if (this.#over) return;
    this.drop();
    this.#on.lost();
  }

  #settle() {
    const asked = this.#asked;
    this.#asked = null;
    clearTimeout(asked?.timer);
    return asked;
  }

  #end() {
    this.#over = true;
    clearInterval(this.#beatTimer);
    this.#socket.close();
  }
}
