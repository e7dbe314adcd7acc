// A WHEP player in a page of another origin: it plays one audio track, and tells its pitch.

const whep = (() => {
  let session;

  const play = async ({url, key}) => {
    const pc = new RTCPeerConnection({bundlePolicy: 'max-bundle'});
    const {receiver} = pc.addTransceiver('audio', {direction: 'recvonly'});
    await pc.setLocalDescription();
    const created = await fetch(url, {
      method: 'POST',
      headers: {Authorization: `Bearer ${key}`, 'Content-Type': 'application/sdp'},
      body: pc.localDescription.sdp,
    });
    if (created.status !== 201) throw new Error(`${created.status}: ${await created.text()}`);
    await pc.setRemoteDescription({type: 'answer', sdp: await created.text()});
    session = {pc, receiver, key, url: new URL(created.headers.get('Location'), url)};
  };

  // Of the strongest component, in Hz, once there is a tone and not silence.
  const pitch = async () => {
    const audio = new AudioContext();
    const analyser = audio.createAnalyser();
    analyser.fftSize = 32768;
    analyser.smoothingTimeConstant = 0;
    audio.createMediaStreamSource(new MediaStream([session.receiver.track])).connect(analyser);
    const spectrum = new Float32Array(analyser.frequencyBinCount);
    for (;;) {
      await new Promise((resolve) => setTimeout(resolve, 100));
      analyser.getFloatFrequencyData(spectrum);
      const loudest = spectrum.reduce((best, power, bin) => (power > spectrum[best] ? bin : best), 0);
      if (spectrum[loudest] > -20) return (loudest * audio.sampleRate) / analyser.fftSize;
    }
  };

  const end = async () => {
    const {pc, key, url} = session;
    const deleted = await fetch(url, {method: 'DELETE', headers: {Authorization: `Bearer ${key}`}});
    pc.close();
    return deleted.status;
  };

  return {play, pitch, end};
})();
