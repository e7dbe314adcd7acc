// A voice client on libdatachannel: joins a room, sends RTP packets from a file, and writes down those it receives.
//
//   node client.js SIGNALLING_URL SENT RECEIVED      (the grant comes as the first line of standard input)
//
// SENT and RECEIVED hold packets, each behind its length (16 bits, big endian). One packet is sent every 20 ms. The protocol is
// proto/signalling.py. Standard output is one JSON object a line: {"event": "joined" | "connected" | "left" | "failed", …}. The
// end of standard input makes it leave.

import { createWriteStream, readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import rtc from 'node-datachannel';

const [url, sentPath, receivedPath] = process.argv.slice(2);
const PAYLOAD_TYPE = 111;
const FRAME_MS = 20;
const SLOTS = 3; // fewer than a browser offers: a node must serve what was asked for

const tell = (event, details = {}) => process.stdout.write(`${JSON.stringify({ event, ...details })}\n`);

const fail = (message) => {
  tell('failed', { message });
  process.exit(1);
};

const packets = [];
for (let file = readFileSync(sentPath), at = 0; at < file.length; ) {
  const size = file.readUInt16BE(at);
  packets.push(file.subarray(at + 2, at + 2 + size));
  at += 2 + size;
}
const ssrc = packets[0].readUInt32BE(8);
const dump = createWriteStream(receivedPath);
const counts = { sent: 0, received: 0, late_ms: 0 }; // late: of the packet that was sent longest after its time

const connection = new rtc.PeerConnection('chorale', { iceServers: [] });

const microphone = new rtc.Audio('0', 'SendOnly');
microphone.addOpusCodec(PAYLOAD_TYPE);
microphone.addSSRC(ssrc, 'node-client', 'node-client', 'microphone');
const tracks = [connection.addTrack(microphone)];

for (let slot = 1; slot <= SLOTS; slot += 1) {
  const media = new rtc.Audio(String(slot), 'RecvOnly');
  media.addOpusCodec(PAYLOAD_TYPE);
  const track = connection.addTrack(media);
  track.setMediaHandler(new rtc.RtcpReceivingSession());
  track.onMessage((packet) => {
    counts.received += 1;
    const length = Buffer.alloc(2);
    length.writeUInt16BE(packet.length);
    dump.write(Buffer.concat([length, packet]));
  });
  tracks.push(track); // a track that is collected stops
}

const socket = new rtc.WebSocket();
const send = (op, body) => socket.sendMessage(JSON.stringify({ op, ...body }));

const lines = createInterface({ input: process.stdin });
const grant = new Promise((resolve) => lines.once('line', resolve));
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
    const due = Math.min(packets.length, Math.floor((performance.now() - start) / FRAME_MS) + 1);
    while (counts.sent < due) {
      counts.late_ms = Math.max(counts.late_ms, Math.round(performance.now() - start - counts.sent * FRAME_MS));
      tracks[0].sendMessageBinary(packets[counts.sent++]);
    }
    if (counts.sent === packets.length) clearInterval(timer);
  }, FRAME_MS);
});

socket.onError((message) => fail(`signalling: ${message}`));
socket.onOpen(async () => send('join', { grant: await grant, offer: await offer }));
let beat;
socket.onMessage((text) => {
  const frame = JSON.parse(text);
  if (frame.op === 'refused') fail(`${frame.code}: ${frame.message}`);
  if (frame.op !== 'joined') return;
  let id = 0;
  beat = setInterval(() => send('beat', { id: (id += 1) }), frame.heartbeat_ms);
  connection.setRemoteDescription(frame.answer, 'answer');
  tell('joined', { csrc: frame.csrc, participants: frame.participants });
});

lines.once('close', () => {
  clearInterval(beat);
  if (socket.isOpen()) send('leave');
  connection.close();
  dump.end(() => {
    tell('left', counts);
    rtc.cleanup();
    process.exit(0);
  });
});

connection.setLocalDescription();
socket.open(url);
