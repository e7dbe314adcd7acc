/** How pictures are sent: the codecs that are offered, the simulcast encodings, and what the node asks of them (`Produce`). */

/** By the names of proto/signalling.py. One payload type a codec, so that an offer with eleven pictures stays small. */
const CODECS = {
  vp8: { mimeType: "video/VP8" },
  h264: { mimeType: "video/H264", parameters: /packetization-mode=1.*profile-level-id=42e0/i },
  vp9: { mimeType: "video/VP9", parameters: /^$|profile-id=0/ },
  av1: { mimeType: "video/AV1", parameters: /^(?!.*\bprofile=[1-9])/ },
};

const RETRANSMISSION = "video/rtx";

/** Three temporal layers let a receiver lose frames before it loses detail; encoders that have none send one. */
const LAYERINGS = ["L1T3", "L1T1", undefined];

/** The smallest first, as `Produce.encodings` counts them. Bits a second, of the smallest for a tile of a grid of nine. */
export const CAMERA = [
  { rid: "q", scaleResolutionDownBy: 4, maxBitrate: 150_000 },
  { rid: "h", scaleResolutionDownBy: 2, maxBitrate: 500_000 },
  { rid: "f", scaleResolutionDownBy: 1, maxBitrate: 1_700_000 },
];

/** Text that is scaled down further than this cannot be read. */
export const SCREEN = [
  { rid: "q", scaleResolutionDownBy: 2, maxBitrate: 500_000 },
  { rid: "f", scaleResolutionDownBy: 1, maxBitrate: 2_500_000 },
];

const isIt = ({ mimeType, sdpFmtpLine = "" }, { mimeType: wanted, parameters = /^/ }) =>
  mimeType.toLowerCase() === wanted.toLowerCase() && parameters.test(sdpFmtpLine);

/** Offers the codecs of this protocol and their retransmission, and nothing else. */
export function restrictCodecs(transceiver) {
  const known = RTCRtpReceiver.getCapabilities("video")?.codecs ?? [];
  const offered = Object.values(CODECS).flatMap((codec) => known.filter((each) => isIt(each, codec)).slice(0, 1));
  const repair = known.filter(({ mimeType }) => mimeType === RETRANSMISSION);
  if (offered.length) transceiver.setCodecPreferences?.([...offered, ...repair]);
}

/** A transceiver that sends `track`, or nothing as yet, in `encodings`. */
export function addSender(connection, track, encodings) {
  for (const scalabilityMode of LAYERINGS) {
    const sendEncodings = encodings.map((each) => (scalabilityMode ? { ...each, scalabilityMode } : each));
    try {
      const transceiver = connection.addTransceiver(track ?? "video", { direction: "sendonly", sendEncodings });
      restrictCodecs(transceiver);
      return new PictureSender(transceiver.sender);
    } catch (error) {
      if (scalabilityMode === undefined) throw error;
    }
  }
  return undefined;
}

/** Camera or screen on its way out. */
class PictureSender {
  #sender;
  #wanted = null; // the latest `Produce`
  #queue = Promise.resolve(); // parameters are read and written one at a time (W3C webrtc, transactionId)

  constructor(sender) {
    this.#sender = sender;
  }

  /** `null`: nothing is sent. */
  async setTrack(track) {
    if (this.#sender.track !== track) await this.#sender.replaceTrack(track);
  }

  /** `Produce`: this codec, with these encodings; null as long as the node asked for nothing. */
  produce(wanted) {
    this.#wanted = wanted ?? this.#wanted;
    this.#queue = this.#queue.then(() => this.#apply()).catch(() => {}); // closed meanwhile
    return this.#queue;
  }

  async #apply() {
    if (!this.#wanted || !this.#sender.getParameters().codecs.length) return; // not negotiated: it is asked again then
    for (const withCodec of [true, false]) {
      for (const layering of LAYERINGS) {
        const parameters = this.#parameters(layering, withCodec);
        if (await this.#sender.setParameters(parameters).then(() => true, isClosed)) return;
      }
    }
  }

  #parameters(layering, withCodec) {
    const { codec, encodings } = this.#wanted;
    const parameters = this.#sender.getParameters();
    const chosen = withCodec && codec in CODECS && parameters.codecs.find((each) => isIt(each, CODECS[codec]));
    for (const [index, encoding] of parameters.encodings.entries()) {
      encoding.active = encodings[index] ?? false;
      if (chosen) encoding.codec = chosen;
      if (layering) encoding.scalabilityMode = layering;
      else delete encoding.scalabilityMode;
    }
    return parameters;
  }
}

/** After that no other parameters would do either. */
const isClosed = ({ name }) => name === "InvalidStateError";
