// A WHIP encoder in a page of another origin: it publishes a tone of 600 Hz, and video if asked, in the order of `order`.

const whip = (() => {
  let session;

  const publish = async ({url, key, order}) => {
    const audio = new AudioContext();
    const oscillator = audio.createOscillator(), speaker = audio.createMediaStreamDestination();
    oscillator.frequency.value = 600;
    oscillator.connect(speaker);
    oscillator.start();
    const canvas = document.createElement('canvas');
    canvas.getContext('2d').fillRect(0, 0, 10, 10);
    const tracks = {audio: speaker.stream.getTracks()[0], video: canvas.captureStream(5).getTracks()[0]};
    const pc = new RTCPeerConnection({bundlePolicy: 'max-bundle'});
    for (const kind of order) pc.addTransceiver(tracks[kind], {direction: 'sendonly'});
    await pc.setLocalDescription();
    const created = await fetch(url, {
      method: 'POST',
      headers: {Authorization: `Bearer ${key}`, 'Content-Type': 'application/sdp'},
      body: pc.localDescription.sdp,
    });
    if (created.status !== 201) throw new Error(`${created.status}: ${await created.text()}`);
    const answer = await created.text();
    await pc.setRemoteDescription({type: 'answer', sdp: answer});
    const connected = new Promise((resolve, reject) => {
      const look = () => {
        if (pc.connectionState === 'connected') resolve();
        if (pc.connectionState === 'failed') reject(new Error('failed'));
      };
      pc.addEventListener('connectionstatechange', look);
      look();
    });
    await connected;
    session = {pc, answer, key, url: new URL(created.headers.get('Location'), url)};
    return {tag: created.headers.get('ETag'), link: created.headers.get('Link')};
  };

  // Resolves with the new entity tag once the new credentials are those of the pair in use.
  const restart = async () => {
    const {pc, answer, key, url} = session;
    const find = (sdp, name) => sdp.match(new RegExp(`a=${name}:(.*)\\r\\n`))[1];
    pc.restartIce();
    await pc.setLocalDescription();
    const offer = pc.localDescription.sdp;
    const fragment = ['a=ice-options:trickle', 'm=audio 9 UDP/TLS/RTP/SAVPF 111', `a=mid:${find(offer, 'mid')}`,
      `a=ice-ufrag:${find(offer, 'ice-ufrag')}`, `a=ice-pwd:${find(offer, 'ice-pwd')}`, ''].join('\r\n');
    const patched = await fetch(url, {
      method: 'PATCH',
      headers: {Authorization: `Bearer ${key}`, 'Content-Type': 'application/trickle-ice-sdpfrag', 'If-Match': '*'},
      body: fragment,
    });
    if (patched.status !== 200) throw new Error(`${patched.status}: ${await patched.text()}`);
    const ours = await patched.text();
    let sdp = answer;
    for (const name of ['ice-ufrag', 'ice-pwd'])
      sdp = sdp.replaceAll(new RegExp(`a=${name}:.*\\r\\n`, 'g'), `a=${name}:${find(ours, name)}\r\n`);
    await pc.setRemoteDescription({type: 'answer', sdp});
    const chosen = async () => {
      const stats = await pc.getStats();
      const pairs = [...stats.values()].filter((each) => each.type === 'transport').map((each) => stats.get(each.selectedCandidatePairId));
      return stats.get(pairs[0]?.localCandidateId)?.usernameFragment;
    };
    while (await chosen() !== find(offer, 'ice-ufrag')) await new Promise((resolve) => setTimeout(resolve, 50));
    return patched.headers.get('ETag');
  };

  const end = async () => {
    const {key, url} = session;
    const deleted = await fetch(url, {method: 'DELETE', headers: {Authorization: `Bearer ${key}`}});
    return deleted.status;
  };

  return { publish, restart, end };
})();
