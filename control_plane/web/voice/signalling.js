/** The signalling WebSocket of one stay (proto/signalling.py): join, mute, leave, and beats that tell whether the node lives. */

const JOIN_MS = 8_000; // a node that takes longer to answer an offer is not well
const MISSED_BEATS = 3;

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
  #joining = null; // {resolve, reject, timer}
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

  /** Resolves to the node's `Joined` frame. Throws `Refused` or `SignallingLost`. */
  join(grant, offer) {
    return new Promise((resolve, reject) => {
      this.#joining = { resolve, reject, timer: setTimeout(() => this.#lost(), JOIN_MS) };
      const send = () => this.#send({ op: "join", grant, offer });
      if (this.#socket.readyState === WebSocket.OPEN) send();
      else this.#socket.addEventListener("open", send, { once: true });
    });
  }

  mute(muted) {
    this.#send({ op: "mute", muted });
  }

  /** Says goodbye and closes. Nothing is reported afterwards. */
  close() {
    this.#send({ op: "leave" });
    this.#end();
  }

  #receive(frame) {
    if (this.#over) return;
    switch (frame.op) {
      case "joined":
        this.#beatEvery(frame.heartbeat_ms);
        return this.#settle()?.resolve(frame);
      case "refused": {
        const joining = this.#settle();
        this.#end();
        return joining?.reject(new Refused(frame));
      }
      case "beat":
        return this.#returned(frame.id);
      default:
        return this.#on.frame(frame);
    }
  }

  /** Missed beats are counted, not timed: in a hidden tab the browser itself beats late. */
  #beatEvery(interval) {
    this.#beatTimer = setInterval(() => {
      if (this.#beats.size >= MISSED_BEATS) return this.#lost();
      this.#beatId += 1;
      this.#beats.set(this.#beatId, performance.now());
      return this.#send({ op: "beat", id: this.#beatId });
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
    const joining = this.#settle();
    this.#end();
    if (joining) joining.reject(new SignallingLost());
    else this.#on.lost();
  }

  #settle() {
    const joining = this.#joining;
    this.#joining = null;
    clearTimeout(joining?.timer);
    return joining;
  }

  #end() {
    this.#over = true;
    clearInterval(this.#beatTimer);
    clearTimeout(this.#joining?.timer);
    this.#socket.close();
  }

  #send(frame) {
    if (!this.#over && this.#socket.readyState === WebSocket.OPEN) this.#socket.send(JSON.stringify(frame));
  }
}
