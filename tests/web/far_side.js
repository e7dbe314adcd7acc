// The node's end of the media, in a page of its own.

const connections = new Map(); // by the client's fingerprint, the latest last
const context = new AudioContext();

async function answer(id, offer) {
  let far = connections.get(id);
  if (!far) {
    far = new RTCPeerConnection();
    far.ontrack = ({ track }) => play(track);
    connections.set(id, far);
  }
  const gathered = new Promise((resolve) => (far.onicecandidate = ({ candidate }) => candidate ?? resolve()));
  await far.setRemoteDescription({ type: "offer", sdp: offer });
  // The first m-line is the client's microphone, the others are its slots.
  for (const transceiver of far.getTransceivers().slice(1)) transceiver.direction = "sendonly";
  await far.setLocalDescription();
  await gathered;
  return far.localDescription.sdp;
}

// What nobody plays is not decoded, and what is played muted has no level.
function play(track) {
  const element = new Audio();
  element.srcObject = new MediaStream([track]);
  element.play();
}

async function tone(slot, on) {
  const far = [...connections.values()].at(-1);
  const { sender } = far.getTransceivers()[1 + slot];
  if (!on) return sender.replaceTrack(null);
  const oscillator = new OscillatorNode(context, { frequency: 440 });
  const destination = context.createMediaStreamDestination();
  oscillator.connect(destination);
  oscillator.start();
  return sender.replaceTrack(destination.stream.getAudioTracks()[0]);
}

// Resolves when the latest connection's microphone is heard.
async function microphoneHeard() {
  const [receiver] = [...connections.values()].at(-1).getReceivers();
  for (;;) {
    const stats = [...(await receiver.getStats()).values()].find(({ type }) => type === "inbound-rtp");
    if (stats?.totalAudioEnergy > 0) return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

// Whoever is connected is so no more: the next test begins with nobody.
function hangUp() {
  for (const far of connections.values()) {
    for (const { sender } of far.getTransceivers()) sender.track?.stop();
    far.close();
  }
  connections.clear();
}
