/** The REST API. Every method returns what the server answered, or throws an `ApiError` that can be shown as it is. */

const TIMEOUT_MS = 15_000;
const RETRIES = 3; // of what may be repeated without harm
const LONGEST_WAIT = 10; // seconds one waits by oneself when told to; beyond that a person is asked

/** `code` is one of proto/errors.py, or "offline". `fields` maps a field to what is wrong with it. `retryAfter`: seconds, or null. */
export class ApiError extends Error {
  constructor({ code, message, status = 0, fields = null, retryAfter = null }) {
    super(message);
    this.name = "ApiError";
    Object.assign(this, { code, status, fields, retryAfter });
  }

  /** Whether the same may work later without anybody changing anything. */
  get passing() {
    return this.code === "offline" || this.status === 429 || this.status >= 500;
  }
}

const query = (values) => new URLSearchParams(Object.entries(values).filter(([, value]) => value != null)).toString();
const sleep = (seconds) => new Promise((resolve) => setTimeout(resolve, seconds * 1000));

export class Api {
  token = null;
  /** Called when the token is no longer valid. */
  onUnauthorized = () => {};

  signUp = (credentials) => this.#send("POST", "/users", { body: credentials });
  signIn = (credentials) => this.#send("POST", "/login", { body: credentials });
  signOut = () => this.#send("POST", "/logout");
  me = () => this.#send("GET", "/users/@me");

  createServer = (name) => this.#send("POST", "/servers", { body: { name } });
  members = (serverId) => this.#send("GET", `/servers/${serverId}/members`);
  channels = (serverId) => this.#send("GET", `/servers/${serverId}/channels`);
  createChannel = (serverId, body) => this.#send("POST", `/servers/${serverId}/channels`, { body });
  createInvite = (serverId) => this.#send("POST", `/servers/${serverId}/invite`, { body: {} });
  invite = (code) => this.#send("GET", `/invites/${encodeURIComponent(code)}`);
  acceptInvite = (code) => this.#send("POST", `/invites/${encodeURIComponent(code)}`, { repeatable: true });

  /** Newest first. `before`, `after`: a message id. */
  messages = (channelId, { limit, before, after }) =>
    this.#send("GET", `/channels/${channelId}/messages?${query({ limit, before, after })}`);
  /** The nonce makes repeating harmless. */
  sendMessage = (channelId, body) => this.#send("POST", `/channels/${channelId}/messages`, { body, repeatable: true });

  join = (channelId) => this.#send("POST", `/channels/${channelId}/join`);
  leave = (channelId) => this.#send("POST", `/channels/${channelId}/leave`, { repeatable: true });
  participants = (channelId) => this.#send("GET", `/channels/${channelId}/participants`);
  /** For who runs the server: `change` is {server_muted?, server_deafened?, channel_id?}. */
  changeParticipant = (channelId, userId, change) =>
    this.#send("PATCH", `/channels/${channelId}/participants/${userId}`, { body: change, repeatable: true });
  removeParticipant = (channelId, userId) =>
    this.#send("DELETE", `/channels/${channelId}/participants/${userId}`, { repeatable: true });

  streamKeys = (channelId) => this.#send("GET", `/channels/${channelId}/stream-keys`);
  /** The only time that the answer holds the `key` itself. */
  createStreamKey = (channelId, name) => this.#send("POST", `/channels/${channelId}/stream-keys`, { body: { name } });
  revokeStreamKey = (channelId, keyId) =>
    this.#send("DELETE", `/channels/${channelId}/stream-keys/${keyId}`, { repeatable: true });

  async #send(method, path, { body, repeatable = method === "GET" } = {}) {
    for (let attempt = 1; ; attempt += 1) {
      try {
        return await this.#sendOnce(method, path, body);
      } catch (error) {
        const wait = error.retryAfter;
        if (!repeatable || attempt > RETRIES || wait === null || wait > LONGEST_WAIT) throw error;
        await sleep(wait);
      }
    }
  }

  async #sendOnce(method, path, body) {
    const token = this.token;
    const headers = { Accept: "application/json" };
    if (token) headers.Authorization = `Bearer ${token}`;
    if (body !== undefined) headers["Content-Type"] = "application/json";
    let response, answer;
    try {
      response = await fetch(path, {
        method,
        headers,
        body: body === undefined ? undefined : JSON.stringify(body),
        signal: AbortSignal.timeout(TIMEOUT_MS),
      });
      answer = await response.text();
    } catch {
      throw new ApiError({ code: "offline", message: "The server cannot be reached. Check your connection." });
    }
    if (response.ok) return answer ? parse(answer) : null;
    const error = errorOf(response, answer);
    if (error.code === "unauthorized" && token && token === this.token) this.onUnauthorized();
    throw error;
  }
}

function parse(text) {
  try {
    return JSON.parse(text);
  } catch {
    throw new ApiError({
      code: "internal_error",
      status: 502,
      message: "The server answered with something that cannot be read.",
    });
  }
}

function errorOf(response, text) {
  let problem = {};
  try {
    problem = JSON.parse(text) ?? {};
  } catch {
    // A proxy in between answers in HTML.
  }
  const retryAfter = secondsOf(problem.retry_after) ?? secondsOf(response.headers.get("Retry-After"));
  const message =
    response.status === 429 && retryAfter !== null
      ? `Too fast. Try again in ${inWords(retryAfter)}.`
      : (problem.message ?? `Something went wrong on the server (${response.status}). Try again in a moment.`);
  const code = problem.code ?? "internal_error";
  return new ApiError({ code, message, status: response.status, fields: problem.errors ?? null, retryAfter });
}

const secondsOf = (value) =>
  value === null || value === undefined || value === "" || !(Number(value) >= 0) ? null : Number(value);

function inWords(seconds) {
  const whole = Math.max(1, Math.ceil(seconds));
  return whole < 90 ? `${whole} second${whole === 1 ? "" : "s"}` : `${Math.ceil(whole / 60)} minutes`;
}
