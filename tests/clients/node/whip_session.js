// What programs for WHIP and WHEP on a WebRTC library share: how they are called, what they say, and the session over HTTP.
//
//   node PROGRAM.js URL publish SENT        node PROGRAM.js URL play RECEIVED        (the bearer is the first line of standard input)
//
// Standard output is one JSON object a line: {"event": "created" | "connected" | "heard" | "seen" | "deleted" | "failed", …};
// "heard" once ENOUGH has been played to it, "seen" after ENOUGH_FRAMES. The end of standard input makes it DELETE its session. What
// SENT and RECEIVED hold is the program's own matter.

import { createInterface } from 'node:readline';

const [url, way, path] = process.argv.slice(2);

export const publishes = way === 'publish';
export { path, url };

export const tell = (event, details = {}) => process.stdout.write(`${JSON.stringify({ event, ...details })}\n`);

export const fail = (message) => {
  tell('failed', { message });
  process.exit(1);
};

const ENOUGH = 3000; // milliseconds
let heard = 0;

// What has come, in milliseconds.
export const hear = (milliseconds) => {
  const before = heard;
  heard += milliseconds;
  if (before < ENOUGH && heard >= ENOUGH) tell('heard');
};

export const ENOUGH_FRAMES = 20;
let seen = 0;

// Another frame has come.
export const see = () => {
  seen += 1;
  if (seen === ENOUGH_FRAMES) tell('seen');
};

process.on('unhandledRejection', (reason) => fail(String(reason?.stack ?? reason)));

// `connection` is an RTCPeerConnection as the W3C has it, its transceivers added. `connected` is called once media can flow;
// `finish` when it is over, and may return a promise.
export const run = async (connection, { connected = () => {}, finish = () => {} }) => {
  const lines = createInterface({ input: process.stdin });
  const bearer = new Promise((resolve) => lines.once('line', resolve));
  const closed = new Promise((resolve) => lines.once('close', resolve));
  let told = false;
  connection.onconnectionstatechange = () => {
    if (connection.connectionState === 'failed') fail('the connection failed');
    if (connection.connectionState !== 'connected' || told) return;
    told = true;
    tell('connected');
    connected();
  };
  const gathered = new Promise((resolve) => {
    connection.onicecandidate = ({ candidate }) => {
      if (!candidate?.candidate) resolve();
    };
  });
  await connection.setLocalDescription(await connection.createOffer());
  await gathered;
  const headers = { Authorization: `Bearer ${await bearer}` };
  const answer = await fetch(url, {
    method: 'POST',
    headers: { ...headers, 'Content-Type': 'application/sdp' },
    body: connection.localDescription.sdp,
  });
  if (answer.status !== 201) fail(`${answer.status}: ${await answer.text()}`);
  const session = new URL(answer.headers.get('location'), url);
  tell('created', { location: session.pathname });
  await connection.setRemoteDescription({ type: 'answer', sdp: await answer.text() });
  await closed;
  const deleted = await fetch(session, { method: 'DELETE', headers });
  connection.onconnectionstatechange = null;
  await connection.close();
  await finish();
  tell('deleted', { status: deleted.status });
  process.exit(0);
};

// Calls `next` every `milliseconds` until it returns false. By the clock, not by the timer's count: timers drift.
export const pace = (milliseconds, next) => {
  const start = performance.now();
  let count = 0;
  const timer = setInterval(() => {
    for (const due = Math.floor((performance.now() - start) / milliseconds) + 1; count < due; count += 1) {
      if (next() !== false) continue;
      clearInterval(timer);
      return;
    }
  }, milliseconds);
};
