// The node's end of the media, in a page of its own.

const connections = new Map(); // by the client's fingerprint, the latest last
const context = new AudioContext();

async function answer(id, offer) {
  let far = connections.get(id);
  if (!far) {
    far = new RTCPeerConnection();
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

async function microphoneLevel() {
  const [receiver] = [...connections.values()].at(-1).getReceivers();
  const stats = [...(await receiver.getStats()).values()].find(({ type }) => type === "inbound-rtp");
  return stats?.audioLevel ?? 0;
}
