// WHIP and WHEP with video on @roamhq/wrtc, which is libwebrtc without a browser: it encodes and decodes itself. SENT holds frames
// (I420, 320 × 180, 15 a second); RECEIVED gets frames of any size, each behind its width and height (16 bits each, little endian).
// See whip_session.js.

import { createWriteStream, readFileSync } from 'node:fs';
import wrtc from '@roamhq/wrtc';
import { pace, path, publishes, run, see } from './whip_session.js';

const { RTCVideoSink, RTCVideoSource } = wrtc.nonstandard;
const [WIDTH, HEIGHT, RATE] = [320, 180, 15];
const SIZE = (WIDTH * HEIGHT * 3) / 2;
const connection = new wrtc.RTCPeerConnection({ iceServers: [] });

const publish = () => {
  const file = readFileSync(path);
  const source = new RTCVideoSource();
  connection.addTransceiver(source.createTrack(), { direction: 'sendonly' });
  let at = 0;
  const next = () => {
    source.onFrame({ width: WIDTH, height: HEIGHT, data: new Uint8ClampedArray(file.subarray(at, at + SIZE)) });
    at += SIZE;
    return at + SIZE <= file.length;
  };
  return { connected: () => pace(1000 / RATE, next) };
};

const play = () => {
  const file = createWriteStream(path);
  const { receiver } = connection.addTransceiver('video', { direction: 'recvonly' });
  const sink = new RTCVideoSink(receiver.track);
  sink.onframe = ({ frame }) => {
    const size = Buffer.alloc(4);
    size.writeUInt16LE(frame.width, 0);
    size.writeUInt16LE(frame.height, 2);
    file.write(Buffer.concat([size, Buffer.from(frame.data)]));
    see();
  };
  const finish = () => {
    sink.stop();
    return new Promise((resolve) => file.end(resolve));
  };
  return { finish };
};

await run(connection, publishes ? publish() : play());
