// WHIP and WHEP on werift, which is TypeScript down to DTLS and SRTP: RTP packets from a file and to one, each behind its length
// (16 bits, big endian). See whip_session.js.

import { createWriteStream, readFileSync } from 'node:fs';
import { MediaStreamTrack, RTCPeerConnection } from 'werift';
import { hear, pace, path, publishes, run } from './whip_session.js';

const FRAME_MS = 20;
// Loopback alone, and no STUN server of its choice.
const connection = new RTCPeerConnection({
  iceServers: [],
  iceUseIpv6: false,
  iceInterfaceAddresses: { udp4: '127.0.0.1' },
  iceAdditionalHostAddresses: ['127.0.0.1'],
});

const publish = () => {
  const packets = [];
  for (let file = readFileSync(path), at = 0; at < file.length; ) {
    const size = file.readUInt16BE(at);
    packets.push(file.subarray(at + 2, at + 2 + size));
    at += 2 + size;
  }
  const track = new MediaStreamTrack({ kind: 'audio' });
  connection.addTransceiver(track, { direction: 'sendonly' });
  const next = () => {
    const packet = packets.shift();
    if (packet) track.writeRtp(packet);
    return packets.length > 0;
  };
  return { connected: () => pace(FRAME_MS, next) };
};

const play = () => {
  const file = createWriteStream(path);
  connection.addTransceiver('audio', { direction: 'recvonly' });
  connection.ontrack = ({ track }) =>
    track.onReceiveRtp.subscribe((packet) => {
      const bytes = packet.serialize();
      const length = Buffer.alloc(2);
      length.writeUInt16BE(bytes.length);
      file.write(Buffer.concat([length, bytes]));
      hear(FRAME_MS);
    });
  return { finish: () => new Promise((resolve) => file.end(resolve)) };
};

await run(connection, publishes ? publish() : play());
