// A voice client on libdatachannel: joins a room, sends RTP packets from a file, and writes down those it receives.
//
//   node client.js SIGNALLING_URL SENT RECEIVED      (the grant comes as the first line of standard input)
//
// SENT and RECEIVED hold packets, each behind its length (16 bits, big endian). One packet is sent every 20 ms. The protocol is
// proto/signalling.py. Standard output is one JSON object a line: {"event": "joined" | "connected" | "resumed" | "left" |
// "failed", …}. Further lines of standard input: "resume" breaks the signalling socket and comes again, "renew" offers another
// transport (and is "connected" again); the end of standard input makes it leave.

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

let transport; // the one that is connected, or is to be the first
let socket;
let token;
let beat;

// Media

class Transport {
  constructor() {
    this.connection = new rtc.PeerConnection('chorale', { iceServers: [] });
    const microphone = new rtc.Audio('0', 'SendOnly');
    microphone.addOpusCodec(PAYLOAD_TYPE);
    microphone.addSSRC(ssrc, 'node-client', 'node-client', 'microphone');
    this.tracks = [this.connection.addTrack(microphone)];
    for (let slot = 1; slot <= SLOTS; slot += 1) this.tracks.push(this.receive(slot)); // one that is collected stops
    this.connection.onStateChange((state) => this.changed(state));
    this.offer = new Promise((resolve) => {
      this.connection.onGatheringStateChange((state) => {
        if (state === 'complete') resolve(this.connection.localDescription().sdp);
      });
    });
    this.connection.setLocalDescription();
  }

  receive(slot) {
    const media = new rtc.Audio(String(slot), 'RecvOnly');
    media.addOpusCodec(PAYLOAD_TYPE);
    const track = this.connection.addTrack(media);
    track.setMediaHandler(new rtc.RtcpReceivingSession());
    track.onMessage((packet) => {
      counts.received += 1;
      const length = Buffer.alloc(2);
      length.writeUInt16BE(packet.length);
      dump.write(Buffer.concat([length, packet]));
    });
    return track;
  }

  changed(state) {
    if (state === 'failed') fail('the connection failed');
    if (state !== 'connected') return;
    const before = transport;
    transport = this;
    if (before === this) speak();
    else before.connection.close();
    tell('connected');
  }

  accept(answer) {
    this.connection.setRemoteDescription(answer, 'answer');
  }
}

const speak = () => {
  const start = performance.now();
  const timer = setInterval(() => {
    // By the clock, not by the timer's count: timers drift.
    const due = Math.min(packets.length, Math.floor((performance.now() - start) / FRAME_MS) + 1);
    while (counts.sent < due) {
      counts.late_ms = Math.max(counts.late_ms, Math.round(performance.now() - start - counts.sent * FRAME_MS));
      transport.tracks[0].sendMessageBinary(packets[counts.sent++]);
    }
    if (counts.sent === packets.length) clearInterval(timer);
  }, FRAME_MS);
};

// Signalling

const send = (op, body) => {
  if (socket?.isOpen()) socket.sendMessage(JSON.stringify({ op, ...body }));
};

const open = (greet) => {
  const opened = new rtc.WebSocket();
  socket = opened;
  opened.onError((message) => opened === socket && fail(`signalling: ${message}`));
  opened.onOpen(greet);
  opened.onMessage((text) => opened === socket && receive(JSON.parse(text)));
  opened.open(url);
};

const receive = (frame) => {
  switch (frame.op) {
    case 'refused':
      return fail(`${frame.code}: ${frame.message}`);
    case 'joined': {
      let id = 0;
      beat = setInterval(() => send('beat', { id: (id += 1) }), frame.heartbeat_ms);
      token = frame.token;
      transport.accept(frame.answer);
      return tell('joined', { csrc: frame.csrc, participants: frame.participants });
    }
    case 'resumed':
      token = frame.token;
      return tell('resumed', { csrc: frame.csrc, participants: frame.participants, restart: frame.restart });
    case 'answer':
      return coming.accept(frame.answer);
    default:
      return undefined;
  }
};

let coming; // offered, not yet connected
const commands = {
  resume() {
    socket.forceClose();
    open(() => send('resume', { token }));
  },
  async renew() {
    coming = new Transport();
    send('offer', { offer: await coming.offer });
  },
};

const lines = createInterface({ input: process.stdin });
lines.once('line', async (grant) => {
  lines.on('line', (command) => commands[command]());
  transport = new Transport();
  const offer = await transport.offer;
  open(() => send('join', { grant, offer }));
});

lines.once('close', () => {
  clearInterval(beat);
  send('leave');
  transport?.connection.close();
  dump.end(() => {
    tell('left', counts);
    rtc.cleanup();
    process.exit(0);
  });
});
