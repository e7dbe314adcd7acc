// A WHIP encoder or a WHEP player on libdatachannel: publishes RTP packets from a file, or writes down those it receives.
//
//   node whip.js URL publish SENT [video]        node whip.js URL play RECEIVED        (the bearer is the first line of standard input)
//
// With `video` it offers a video track too, as OBS does, and sends nothing on it.
//
// SENT and RECEIVED hold packets, each behind its length (16 bits, big endian). Standard output is one JSON object a line:
// {"event": "created" | "connected" | "deleted" | "failed", …}. The end of standard input makes it DELETE its session.

import { createWriteStream, readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import rtc from 'node-datachannel';

const [url, way, path, video] = process.argv.slice(2);
const publishes = way === 'publish';
const FRAME_MS = 20;

const tell = (event, details = {}) => process.stdout.write(`${JSON.stringify({ event, ...details })}\n`);

const fail = (message) => {
  tell('failed', { message });
  process.exit(1);
};

const packets = [];
if (publishes) {
  for (let file = readFileSync(path), at = 0; at < file.length; ) {
    const size = file.readUInt16BE(at);
    packets.push(file.subarray(at + 2, at + 2 + size));
    at += 2 + size;
  }
}
let leaving = false; // the node closes the track when the session is deleted
const counts = { sent: 0, received: 0 };
const dump = publishes ? null : createWriteStream(path);

const connection = new rtc.PeerConnection('whip', { iceServers: [] });
const audio = new rtc.Audio('0', publishes ? 'SendOnly' : 'RecvOnly');
audio.addOpusCodec(111);
if (publishes) audio.addSSRC(packets[0].readUInt32BE(8), 'whip', 'whip', 'audio');
const track = connection.addTrack(audio);
const tracks = [track]; // a track that is collected stops
if (video) {
  const camera = new rtc.Video('1', 'SendOnly');
  camera.addH264Codec(96);
  camera.addSSRC(0xcafe, 'whip', 'whip', 'video');
  tracks.push(connection.addTrack(camera));
}
if (!publishes) {
  track.setMediaHandler(new rtc.RtcpReceivingSession());
  track.onMessage((packet) => {
    counts.received += 1;
    const length = Buffer.alloc(2);
    length.writeUInt16BE(packet.length);
    dump.write(Buffer.concat([length, packet]));
  });
}

const lines = createInterface({ input: process.stdin });
const bearer = new Promise((resolve) => lines.once('line', resolve));
const offer = new Promise((resolve) => {
  connection.onGatheringStateChange((state) => {
    if (state === 'complete') resolve(connection.localDescription().sdp);
  });
});

connection.onStateChange((state) => {
  if (state === 'failed') fail('the connection failed');
  if (state !== 'connected') return;
  tell('connected');
  const start = performance.now();
  const timer = setInterval(() => {
    // By the clock, not by the timer's count: timers drift.
    const due = leaving ? 0 : Math.min(packets.length, Math.floor((performance.now() - start) / FRAME_MS) + 1);
    while (counts.sent < due) track.sendMessageBinary(packets[counts.sent++]);
    if (leaving || counts.sent === packets.length) clearInterval(timer);
  }, FRAME_MS);
});

connection.setLocalDescription();
const authorization = `Bearer ${await bearer}`;
const answer = await fetch(url, {
  method: 'POST',
  headers: { Authorization: authorization, 'Content-Type': 'application/sdp' },
  body: await offer,
});
if (answer.status !== 201) fail(`${answer.status}: ${await answer.text()}`);
const session = new URL(answer.headers.get('location'), url);
tell('created', { location: session.pathname, etag: answer.headers.get('etag') });
connection.setRemoteDescription(await answer.text(), 'answer');

lines.once('close', async () => {
  leaving = true;
  const deleted = await fetch(session, { method: 'DELETE', headers: { Authorization: authorization } });
  connection.close();
  const leave = () => {
    tell('deleted', { status: deleted.status, ...counts });
    rtc.cleanup();
    process.exit(0);
  };
  if (dump) dump.end(leave);
  else leave();
});
