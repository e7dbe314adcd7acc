// The node's end of the media, in a page of its own.

const connections = new Map(); // by the client's fingerprint, the latest last
const context = new AudioContext();

// Before the slots there are the client's own two lines of sound, and between the slots its two pictures.
const FIRST_SLOT = 2;
const FIRST_VIDEO_SLOT = 12;

async function answer(id, offer) {
  let far = connections.get(id);
  if (!far) {
    far = new RTCPeerConnection();
    far.ontrack = ({ track }) => play(track);
    connections.set(id, far);
  }
  const gathered = new Promise((resolve) => (far.onicecandidate = ({ candidate }) => candidate ?? resolve()));
  await far.setRemoteDescription({ type: "offer", sdp: offer });
  // On what the client only receives we send.
  const slots = new Set(offer.split(/^m=/m).filter((each) => /^a=recvonly/m.test(each)).map((each) => /^a=mid:(\S+)/m.exec(each)[1]));
  for (const each of far.getTransceivers()) if (slots.has(each.mid)) each.direction = "sendonly";
  await far.setLocalDescription();
  await gathered;
  return accepting(far.localDescription.sdp, offer);
}

// A browser does not answer that it takes simulcast, as the node does.
function accepting(answer, offer) {
  const simulcast = new Map(
    offer
      .split(/^m=/m)
      .filter((each) => /^a=simulcast:send/m.test(each))
      .map((each) => [/^a=mid:(\S+)/m.exec(each)[1], /^a=simulcast:send (\S+)/m.exec(each)[1]]),
  );
  return answer
    .split(/^(?=m=)/m)
    .map((each) => {
      const rids = simulcast.get(/^a=mid:(\S+)/m.exec(each)?.[1]);
      if (!rids) return each;
      const lines = rids.split(";").map((rid) => `a=rid:${rid} recv\r\n`);
      return `${each}${lines.join("")}a=simulcast:recv ${rids}\r\n`;
    })
    .join("");
}

// What nobody plays is not decoded, and what is played muted has no level.
function play(track) {
  const element = new Audio();
  element.srcObject = new MediaStream([track]);
  element.play();
}

async function tone(slot, on) {
  const far = [...connections.values()].at(-1);
  const { sender } = far.getTransceivers()[FIRST_SLOT + slot];
  if (!on) return sender.replaceTrack(null);
  const oscillator = new OscillatorNode(context, { frequency: 440 });
  const destination = context.createMediaStreamDestination();
  oscillator.connect(destination);
  oscillator.start();
  return sender.replaceTrack(destination.stream.getAudioTracks()[0]);
}

// A picture of that colour in a video slot, with something in it that moves.
async function picture(slot, { colour, text = "", width = 320, height = 180 }) {
  const far = [...connections.values()].at(-1);
  const canvas = Object.assign(document.createElement("canvas"), { width, height });
  const pen = canvas.getContext("2d");
  let turn = 0;
  setInterval(() => {
    turn += 1;
    pen.fillStyle = colour;
    pen.fillRect(0, 0, width, height);
    pen.fillStyle = "#fff";
    pen.font = `${height / 6}px sans-serif`;
    pen.fillText(text, width / 12, height / 3);
    pen.fillRect((turn * 4) % width, height * 0.8, width / 20, height / 20);
  }, 66);
  await far.getTransceivers()[FIRST_VIDEO_SLOT + slot].sender.replaceTrack(canvas.captureStream(15).getVideoTracks()[0]);
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
