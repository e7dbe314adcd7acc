// WHIP and WHEP on @roamhq/wrtc, which is libwebrtc without a browser: it encodes and decodes itself, so the files hold samples
// (mono, 48 kHz, 16 bits, little endian). See whip_session.js.

import { createWriteStream, readFileSync } from 'node:fs';
import wrtc from '@roamhq/wrtc';
import { hear, pace, path, publishes, run } from './whip_session.js';

const { RTCAudioSink, RTCAudioSource } = wrtc.nonstandard;
const RATE = 48000;
const BLOCK = RATE / 100; // samples: libwebrtc takes 10 ms at a time
const connection = new wrtc.RTCPeerConnection({ iceServers: [] });

const publish = () => {
  const file = readFileSync(path);
  const source = new RTCAudioSource();
  connection.addTransceiver(source.createTrack(), { direction: 'sendonly' });
  let at = 0;
  const next = () => {
    const samples = new Int16Array(BLOCK);
    for (let n = 0; n < BLOCK; n += 1) samples[n] = file.readInt16LE(2 * (at + n));
    source.onData({ samples, sampleRate: RATE, bitsPerSample: 16, channelCount: 1, numberOfFrames: BLOCK });
    at += BLOCK;
    return 2 * (at + BLOCK) <= file.length;
  };
  return { connected: () => pace(10, next) };
};

const play = () => {
  const file = createWriteStream(path);
  const { receiver } = connection.addTransceiver('audio', { direction: 'recvonly' });
  const sink = new RTCAudioSink(receiver.track);
  sink.ondata = ({ samples, sampleRate, channelCount }) => {
    if (sampleRate !== RATE) return; // the silence before the first packet, which told the rate
    const mono = samples.filter((_, n) => n % channelCount === 0);
    file.write(Buffer.from(mono.buffer, mono.byteOffset, mono.byteLength));
    hear((mono.length / RATE) * 1000);
  };
  const finish = () => {
    sink.stop();
    return new Promise((resolve) => file.end(resolve));
  };
  return { finish };
};

await run(connection, publishes ? publish() : play());
