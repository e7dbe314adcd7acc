// WHIP and WHEP in a page, on a machine without a sound card: an AudioContext would stand still, so what is said is the tone of a
// fake microphone (1 kHz), and what is played is recorded.

const LISTENING = 3000; // milliseconds
const RATE = 48000;

const {publish, play, listen, end} = (() => {
  let session;

  const enter = async ({url, key}, pc) => {
    await pc.setLocalDescription();
    const created = await fetch(url, {
      method: 'POST',
      headers: {Authorization: `Bearer ${key}`, 'Content-Type': 'application/sdp'},
      body: pc.localDescription.sdp,
    });
    if (created.status !== 201) throw new Error(`${created.status}: ${await created.text()}`);
    await pc.setRemoteDescription({type: 'answer', sdp: await created.text()});
    session = {pc, key, url: new URL(created.headers.get('Location'), url)};
    await new Promise((resolve, reject) => {
      const look = () => {
        if (pc.connectionState === 'connected') resolve();
        if (pc.connectionState === 'failed') reject(new Error('the connection failed'));
      };
      pc.onconnectionstatechange = look;
      look();
    });
  };

  const publish = async (where) => {
    const pc = new RTCPeerConnection();
    const microphone = await navigator.mediaDevices.getUserMedia({audio: true});
    pc.addTransceiver(microphone.getTracks()[0], {direction: 'sendonly'});
    await enter(where, pc);
  };

  const play = async (where) => {
    const pc = new RTCPeerConnection();
    pc.addTransceiver('audio', {direction: 'recvonly'});
    await enter(where, pc);
  };

  // The last second of some: samples of 16 bits at 48 kHz.
  const listen = async () => {
    const recorder = new MediaRecorder(new MediaStream([session.pc.getReceivers()[0].track]));
    const recorded = new Promise((resolve) => {
      recorder.ondataavailable = ({data}) => resolve(data.arrayBuffer());
    });
    recorder.start();
    await new Promise((resolve) => setTimeout(resolve, LISTENING));
    recorder.stop();
    const decoded = await new OfflineAudioContext(1, RATE, RATE).decodeAudioData(await recorded);
    return Array.from(decoded.getChannelData(0).slice(-RATE), (sample) => Math.round(32767 * sample));
  };

  const end = async () => {
    const {pc, key, url} = session;
    const deleted = await fetch(url, {method: 'DELETE', headers: {Authorization: `Bearer ${key}`}});
    pc.close();
    return deleted.status;
  };

  return {publish, play, listen, end};
})();
