// Runs before the page's own scripts. Keeps what every remote audio track plays, with the CSRC it carried at each moment, and
// turns the microphone's processing off, so that what is scored is the transport and not the browser's noise suppressor.
(() => {
  const RATE = 48000;
  const LONGEST = 90 * RATE; // samples kept of one slot: a forgotten recording must not eat the machine

  const connections = [];
  const slots = [];
  let armed = false;

  const contributor = (receiver) => {
    const latest = receiver
      .getContributingSources()
      .reduce((best, each) => (best === null || each.timestamp > best.timestamp ? each : best), null);
    return latest === null ? null : latest.source;
  };

  const record = (transceiver) => {
    const slot = { mid: transceiver.mid, pieces: [], runs: [], length: 0 };
    slots.push(slot);
    // A clone: the page may mute or stop its own.
    const track = transceiver.receiver.track.clone();
    const reader = new MediaStreamTrackProcessor({ track }).readable.getReader();
    const next = async () => {
      for (;;) {
        const { value: frame, done } = await reader.read();
        if (done) return;
        if (!armed || slots.indexOf(slot) < 0) {
          frame.close();
          track.stop();
          await reader.cancel();
          return;
        }
        const samples = new Float32Array(frame.numberOfFrames);
        frame.copyTo(samples, { planeIndex: 0, format: 'f32-planar' });
        if (frame.sampleRate !== RATE) throw new Error(`expected ${RATE} Hz, got ${frame.sampleRate}`);
        frame.close();
        const csrc = contributor(transceiver.receiver);
        if (!slot.runs.length || slot.runs[slot.runs.length - 1][0] !== csrc) slot.runs.push([csrc, slot.length]);
        if (slot.length < LONGEST) {
          slot.pieces.push(Int16Array.from(samples, (x) => Math.max(-32768, Math.min(32767, Math.round(x * 32767)))));
          slot.length += samples.length;
        }
      }
    };
    slot.finished = next().catch((error) => (slot.error = String(error)));
  };

  const transceivers = () =>
    connections
      .filter((connection) => connection.connectionState !== 'closed')
      .flatMap((connection) => connection.getTransceivers())
      .filter((each) => each.receiver.track.kind === 'audio' && each.receiver.track.readyState === 'live')
      .filter((each) => ['recvonly', 'sendrecv'].includes(each.currentDirection));

  const base64 = (pieces, length) => {
    const whole = new Int16Array(length);
    let at = 0;
    for (const piece of pieces) {
      whole.set(piece, at);
      at += piece.length;
    }
    const bytes = new Uint8Array(whole.buffer);
    let text = '';
    for (let i = 0; i < bytes.length; i += 0x8000) text += String.fromCharCode(...bytes.subarray(i, i + 0x8000));
    return btoa(text);
  };

  window.choraleRecorder = {
    start() {
      slots.length = 0;
      armed = true;
      transceivers().forEach(record);
      return slots.length;
    },
    stop() {
      armed = false;
      const result = slots.map(({ mid, runs, pieces, length, error }) => ({ mid, runs, error: error ?? null, pcm: base64(pieces, length) }));
      slots.length = 0;
      return result;
    },
    states: () => connections.map((each) => each.connectionState),
    async inbound() {
      // Packets and concealment of every slot, to explain a bad score.
      const found = [];
      for (const connection of connections) {
        if (connection.connectionState === 'closed') continue;
        for (const report of (await connection.getStats()).values()) {
          if (report.type !== 'inbound-rtp' || report.kind !== 'audio') continue;
          const { mid, packetsReceived, packetsLost, concealedSamples, silentConcealedSamples, totalSamplesReceived } = report;
          found.push({ mid, packetsReceived, packetsLost, concealedSamples, silentConcealedSamples, totalSamplesReceived });
        }
      }
      return found;
    },
  };

  window.RTCPeerConnection = class extends window.RTCPeerConnection {
    constructor(...options) {
      super(...options);
      connections.push(this);
      this.addEventListener('track', ({ transceiver }) => {
        if (armed && transceiver.receiver.track.kind === 'audio') record(transceiver);
      });
    }
  };

  if (navigator.mediaDevices) {
    const capture = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
    const raw = { echoCancellation: false, noiseSuppression: false, autoGainControl: false };
    navigator.mediaDevices.getUserMedia = (wanted = {}) =>
      capture({ ...wanted, audio: wanted.audio && { ...(wanted.audio === true ? {} : wanted.audio), ...raw } });
  }
})();
