/**
 * The gateway's client: keeps one WebSocket alive and hands on every event once, in order (proto/gateway.py).
 *
 * The highest n of each topic is kept; what is not higher is dropped. After a loss the session resumes from there on any node; if
 * that is no longer possible (opcode 9), it identifies anew and READY tells everything again.
 */

const Op = {
  DISPATCH: 0,
  HEARTBEAT: 1,
  IDENTIFY: 2,
  RESUME: 6,
  RECONNECT: 7,
  INVALID_SESSION: 9,
  HELLO: 10,
  HEARTBEAT_ACK: 11,
};
const AUTHENTICATION_FAILED = 4004;
const CANNOT_RESUME = new Set([4001, 4002, 4003, 4005, 4007]); // what we said was not understood: begin anew
const LOST = 4900; // our own close code: the other side does not answer

const FIRST_DELAY_MS = 500;
const LONGEST_DELAY_MS = 30_000;
const HELLO_MS = 10_000; // a socket that does not even say hello is dead

export class Gateway {
  #url;
  #token;
  #on;
  #socket = null;
  #session = null; // {id, cursors: Map(topic → n)}
  #failures = 0;
  #stopped = true;
  #timers = { hello: 0, heartbeat: 0, retry: 0 };
  #acknowledged = true;

  /** `on`: dispatch(t, d), status("connecting" | "online" | "waiting"), refused() when the token is not valid. */
  constructor(url, token, on) {
    this.#url = url;
    this.#token = token;
    this.#on = on;
  }

  start() {
    this.#stopped = false;
    addEventListener("online", this.#retryNow);
    this.#connect();
  }

  stop() {
    this.#stopped = true;
    removeEventListener("online", this.#retryNow);
    this.#drop(1000);
  }

  #connect = () => {
    this.#drop(LOST);
    this.#on.status("connecting");
    const socket = new WebSocket(this.#url);
    this.#socket = socket;
    this.#timers.hello = setTimeout(() => this.#lost(), HELLO_MS);
    socket.addEventListener("message", ({ data }) => socket === this.#socket && this.#receive(JSON.parse(data)));
    socket.addEventListener("close", ({ code }) => socket === this.#socket && this.#closed(code));
  };

  #retryNow = () => {
    if (!this.#stopped && !this.#socket) this.#connect();
  };

  #receive(frame) {
    switch (frame.op) {
      case Op.HELLO:
        clearTimeout(this.#timers.hello);
        this.#beatEvery(frame.d.heartbeat_interval);
        return this.#enter();
      case Op.HEARTBEAT:
        return this.#beat();
      case Op.HEARTBEAT_ACK:
        this.#acknowledged = true;
        return undefined;
      case Op.DISPATCH:
        return this.#dispatch(frame);
      case Op.RECONNECT:
        return this.#connect();
      case Op.INVALID_SESSION:
        this.#session = null;
        return this.#enter();
      default:
        return undefined;
    }
  }

  #enter() {
    if (!this.#session) return this.#send(Op.IDENTIFY, { token: this.#token });
    const cursors = Object.fromEntries(this.#session.cursors);
    return this.#send(Op.RESUME, { token: this.#token, session_id: this.#session.id, cursors });
  }

  #dispatch({ t, d, topic, n }) {
    if (t === "READY") this.#session = { id: d.session_id, cursors: new Map(Object.entries(d.cursors)) };
    if (!this.#session) return;
    if (topic !== undefined && n !== undefined) {
      const { cursors } = this.#session;
      if (n <= (cursors.get(topic) ?? -1)) return;
      cursors.set(topic, n);
    }
    this.#on.dispatch(t, d);
    if (t === "READY" || t === "RESUMED") {
      this.#failures = 0;
      this.#on.status("online");
    }
  }

  /** The first beat comes after a random part of the interval, so that clients that came together do not beat together. */
  #beatEvery(interval) {
    this.#acknowledged = true;
    const next = (delay) => {
      this.#timers.heartbeat = setTimeout(() => {
        if (!this.#acknowledged) return this.#lost();
        this.#beat();
        return next(interval);
      }, delay);
    };
    next(interval * Math.random());
  }

  #beat() {
    this.#acknowledged = false;
    this.#send(Op.HEARTBEAT, null);
  }

  #send(op, d) {
    if (this.#socket?.readyState === WebSocket.OPEN) this.#socket.send(JSON.stringify({ op, d }));
  }

  #lost() {
    this.#drop(LOST);
    this.#retryLater();
  }

  #closed(code) {
    this.#drop(LOST);
    if (code === AUTHENTICATION_FAILED) {
      this.#stopped = true;
      this.#on.refused();
      return;
    }
    if (CANNOT_RESUME.has(code)) this.#session = null;
    this.#retryLater();
  }

  /** Ever later, and at a random moment, so that a server that comes back is not met by everybody at once. */
  #retryLater() {
    if (this.#stopped) return;
    const ceiling = Math.min(LONGEST_DELAY_MS, FIRST_DELAY_MS * 2 ** this.#failures);
    this.#failures += 1;
    this.#on.status("waiting");
    this.#timers.retry = setTimeout(this.#connect, ceiling * (0.5 + Math.random() / 2));
  }

  #drop(code) {
    for (const timer of Object.values(this.#timers)) clearTimeout(timer);
    const socket = this.#socket;
    this.#socket = null;
    socket?.close(code);
  }
}
