// WHIP and WHEP with video on libdatachannel, which neither encodes nor decodes: RTP packets of VP8 from a file and to one, each behind
// its length (16 bits, big endian). Called, and telling what happens, as whip_session.js says; "seen" instead of "heard".

import { createWriteStream, readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import rtc from 'node-datachannel';
import { ENOUGH_FRAMES, fail, path, publishes, tell, url } from './whip_session.js';

const CLOCK = 90; // RTP ticks a millisecond
const PAYLOAD_TYPE = 96;

const packets = [];
if (publishes) {
  for (let file = readFileSync(path), at = 0; at < file.length; ) {
    const size = file.readUInt16BE(at);
    packets.push(file.subarray(at + 2, at + 2 + size));
    at += 2 + size;
  }
}
const dump = publishes ? null : createWriteStream(path);
let leaving = false;

const connection = new rtc.PeerConnection('whip', { iceServers: [] });
const camera = new rtc.Video('0', publishes ? 'SendOnly' : 'RecvOnly');
camera.addVP8Codec(PAYLOAD_TYPE);
if (publishes) camera.addSSRC(packets[0].readUInt32BE(8), 'whip', 'whip', 'video');
const track = connection.addTrack(camera);

if (!publishes) {
  track.setMediaHandler(new rtc.RtcpReceivingSession());
  let frames = 0;
  track.onMessage((packet) => {
    if ((packet[1] & 0x7f) !== PAYLOAD_TYPE) return;
    const length = Buffer.alloc(2);
    length.writeUInt16BE(packet.length);
    dump.write(Buffer.concat([length, packet]));
    frames += packet[1] >> 7; // the marker ends a frame
    if (frames === ENOUGH_FRAMES && packet[1] >> 7) tell('seen');
  });
}

// Each packet when its timestamp says.
const send = () => {
  const start = performance.now();
  const origin = packets[0].readUInt32BE(4);
  let sent = 0;
  const timer = setInterval(() => {
    const now = (performance.now() - start) * CLOCK;
    while (!leaving && sent < packets.length && ((packets[sent].readUInt32BE(4) - origin) >>> 0) <= now)
      track.sendMessageBinary(packets[sent++]);
    if (leaving || sent === packets.length) clearInterval(timer);
  }, 10);
};

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
  if (publishes) send();
  else track.requestKeyframe();
});

connection.setLocalDescription();
const headers = { Authorization: `Bearer ${await bearer}` };
const answer = await fetch(url, {
  method: 'POST',
  headers: { ...headers, 'Content-Type': 'application/sdp' },
  body: await offer,
});
if (answer.status !== 201) fail(`${answer.status}: ${await answer.text()}`);
const session = new URL(answer.headers.get('location'), url);
tell('created', { location: session.pathname });
connection.setRemoteDescription(await answer.text(), 'answer');

lines.once('close', async () => {
  leaving = true;
  const deleted = await fetch(session, { method: 'DELETE', headers });
  connection.close();
  const leave = () => {
    tell('deleted', { status: deleted.status });
    rtc.cleanup();
    process.exit(0);
  };
  if (dump) dump.end(leave);
  else leave();
});
