// A page that publishes a moving picture whose frames say their own number. Evaluated by record.py in an empty page.
"use strict";

/** Cells of the bar code: 16 bits of the frame number (Gray code, so that few cells change a frame), 4 of check sum. */
const COLUMNS = 10;
const ROWS = 2;

function checksum(number) {
  return ((number ^ (number >> 4) ^ (number >> 8) ^ (number >> 12)) ^ 0b1010) & 0b1111;
}

function cells(number) {
  const gray = number ^ (number >> 1);
  const bits = (gray << 4) | checksum(number);
  return Array.from({ length: COLUMNS * ROWS }, (_, index) => (bits >> (COLUMNS * ROWS - 1 - index)) & 1);
}

/** The upper half is the bar code, the lower half something that moves. */
function paint(context, number) {
  const { width, height } = context.canvas;
  const wide = width / COLUMNS;
  const high = height / 2 / ROWS;
  cells(number).forEach((bit, index) => {
    context.fillStyle = bit ? "white" : "black";
    context.fillRect((index % COLUMNS) * wide, Math.floor(index / COLUMNS) * high, wide, high);
  });
  context.fillStyle = `hsl(${number * 3} 40% 40%)`;
  context.fillRect(0, height / 2, width, height / 2);
  context.fillStyle = "gold";
  context.beginPath();
  context.arc(width / 2 + Math.sin(number / 9) * width * 0.4, height * 0.75, height * 0.15, 0, 2 * Math.PI);
  context.fill();
}

const publisher = {
  connection: null,
  sender: null,

  /** Begins to paint, and answers with the offer. `plan` is a Plan of record.py. */
  async offer(plan) {
    const canvas = Object.assign(document.createElement("canvas"), { width: plan.width, height: plan.height });
    const context = canvas.getContext("2d", { alpha: false });
    const [track] = canvas.captureStream(0).getVideoTracks();
    let number = 0;
    setInterval(() => {
      paint(context, number++ & 0xffff);
      track.requestFrame();
    }, 1000 / plan.frame_rate);
    paint(context, number++);

    this.connection = new RTCPeerConnection();
    const encodings = plan.encodings.map(({ rid, divisor, bitrate }) => ({
      ...(rid ? { rid } : {}),
      scaleResolutionDownBy: divisor,
      maxBitrate: bitrate,
      maxFramerate: plan.frame_rate,
      ...(plan.scalability_mode ? { scalabilityMode: plan.scalability_mode } : {}),
    }));
    const transceiver = this.connection.addTransceiver(track, { direction: "sendonly", sendEncodings: encodings });
    this.sender = transceiver.sender;
    const { codecs } = RTCRtpReceiver.getCapabilities("video");
    const mine = codecs.filter(({ mimeType, sdpFmtpLine = "" }) => {
      if (mimeType.toLowerCase() === "video/rtx") return true;
      if (mimeType.toLowerCase() !== `video/${plan.codec}`) return false;
      const wanted = { h264: /packetization-mode=1.*profile-level-id=42e0/, vp9: /profile-id=0/ }[plan.codec];
      return !wanted || wanted.test(sdpFmtpLine);
    });
    transceiver.setCodecPreferences(mine);
    const before = transceiver.getHeaderExtensionsToNegotiate?.() ?? [];
    if (plan.set_extensions) {
      transceiver.setHeaderExtensionsToNegotiate(
        before.map(({ uri, direction }) => ({
          uri,
          direction: plan.set_extensions.some((part) => uri.includes(part)) ? "sendrecv" : direction,
        })),
      );
    }
    await this.connection.setLocalDescription();
    return {
      sdp: this.connection.localDescription.sdp,
      extensions: before.map(({ uri, direction }) => [uri, direction]),
    };
  },

  async answer(sdp) {
    await this.connection.setRemoteDescription({ type: "answer", sdp });
    const parameters = this.sender.getParameters();
    parameters.degradationPreference = "maintain-resolution";
    await this.sender.setParameters(parameters);
  },

  /** What it says about each encoding that it sends. */
  async sending() {
    const reports = [...(await this.sender.getStats()).values()];
    return reports
      .filter(({ type }) => type === "outbound-rtp")
      .map(({ rid, ssrc, frameWidth, frameHeight, framesEncoded, scalabilityMode }) => ({
        rid: rid ?? null,
        ssrc,
        width: frameWidth ?? 0,
        height: frameHeight ?? 0,
        frames: framesEncoded,
        scalability_mode: scalabilityMode ?? null,
      }));
  },
};
globalThis.publisher = publisher;
