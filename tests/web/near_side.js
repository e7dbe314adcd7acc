// Runs before the page's own scripts: lets a test see, and break, what the browser keeps to itself.
(() => {
  const near = { connections: [], microphones: [], stats: null, csrc: null, shut: false, outputs: [], screens: [], refuse: null };
  window.near = near;

  window.RTCPeerConnection = class extends RTCPeerConnection {
    #pretended = null;
    constructor(...how) {
      super(...how);
      near.connections.push(this);
    }
    get connectionState() {
      return this.#pretended ?? super.connectionState;
    }
    // null: the truth again.
    pretend(state) {
      this.#pretended = state;
      this.dispatchEvent(new Event("connectionstatechange"));
    }
    getStats(...of) {
      return near.stats ? Promise.resolve(new Map(near.stats.map((each, index) => [index, each]))) : super.getStats(...of);
    }
  };

  // A browser cannot send a CSRC of its own choosing: with `csrc` set, every packet played carries that one.
  const truth = RTCRtpReceiver.prototype.getContributingSources;
  RTCRtpReceiver.prototype.getContributingSources = function () {
    const played = this.getSynchronizationSources();
    return near.csrc === null ? truth.call(this) : played.map((each) => ({ ...each, source: near.csrc }));
  };

  if (navigator.mediaDevices) {
    const ask = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
    navigator.mediaDevices.getUserMedia = async (wanted) => {
      near.wanted = wanted;
      if (near.refuse && near.refuse in wanted) throw new DOMException("Permission denied", "NotAllowedError");
      const stream = await ask(wanted);
      near.microphones.push(...stream.getAudioTracks());
      return stream;
    };

    // Headless there is nothing to choose from: a painted screen with a tone.
    navigator.mediaDevices.getDisplayMedia = async (wanted) => {
      near.wantedScreen = wanted;
      if (near.refuse === "screen") throw new DOMException("Permission denied", "NotAllowedError");
      const canvas = Object.assign(document.createElement("canvas"), { width: 1280, height: 800 });
      const pen = canvas.getContext("2d");
      setInterval(() => {
        pen.fillStyle = "#20344a";
        pen.fillRect(0, 0, 1280, 800);
        pen.fillStyle = "#fff";
        pen.font = "40px sans-serif";
        pen.fillText(`What is on the screen, ${new Date().toISOString()}`, 60, 120);
      }, 100);
      const context = new AudioContext();
      const sound = context.createMediaStreamDestination();
      const oscillator = new OscillatorNode(context, { frequency: 330 });
      oscillator.connect(sound);
      oscillator.start();
      const stream = canvas.captureStream(10);
      near.screens.push(stream.getVideoTracks()[0]);
      return new MediaStream([...stream.getTracks(), ...sound.stream.getTracks()]);
    };
  }

  // While `shut`, as a browser does that wants a click first.
  window.AudioContext = class extends AudioContext {
    constructor(...how) {
      super(...how);
      if (near.shut) super.suspend();
    }
    resume() {
      return near.shut ? new Promise(() => {}) : super.resume();
    }
  };

  const connect = AudioNode.prototype.connect;
  AudioNode.prototype.connect = function (to, ...how) {
    if (to instanceof AudioDestinationNode) {
      const analyser = new AnalyserNode(this.context, { fftSize: 1024 });
      near.outputs.push(analyser);
      connect.call(this, analyser);
    }
    return connect.call(this, to, ...how);
  };

  near.until = (condition) =>
    new Promise((resolve) => {
      const look = async () => ((await condition()) ? resolve() : setTimeout(look, 20));
      look();
    });

  // How loud all that can be heard is, root mean square.
  near.loudness = () => {
    const samples = new Float32Array(1024);
    let power = 0;
    for (const each of near.outputs) {
      each.getFloatTimeDomainData(samples);
      for (const sample of samples) power += sample * sample;
    }
    return Math.sqrt(power / samples.length);
  };

  // What most of 15 looks say, 20 ms apart: one of them may fall into a gap on a machine that is busy.
  near.steadyLoudness = async () => {
    const heard = [];
    for (let look = 0; look < 15; look += 1) {
      heard.push(near.loudness());
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    return heard.sort((a, b) => a - b)[7];
  };

  // The offer has two lines for one's own sound, eight slots, two lines for one's own pictures, nine slots.
  near.receiver = (slot) => near.connections.at(-1).getReceivers()[2 + slot];
  near.videoReceiver = (slot) => near.connections.at(-1).getReceivers()[12 + slot];
  const timestamp = (receiver) => receiver.getSynchronizationSources()[0]?.rtpTimestamp ?? null;
  near.played = (slot) => timestamp(near.receiver(slot));
  near.shown = (slot) => timestamp(near.videoReceiver(slot));
  const sender = (source) => near.connections.at(-1).getSenders()[{ camera: 10, screen: 11 }[source]];
  near.encodings = (source) => sender(source).getParameters().encodings;
  // What is really sent by now: [{rid, codec, width}], in the order of the rids.
  near.sent = async (source) => {
    const report = [...(await sender(source).getStats()).values()];
    const codec = (id) => report.find((each) => each.id === id)?.mimeType;
    return near.encodings(source).map(({ rid }) => {
      const { codecId, frameWidth, framesEncoded } = report.find((each) => each.type === "outbound-rtp" && each.rid === rid) ?? {};
      return { rid, codec: codec(codecId), width: frameWidth ?? 0, frames: framesEncoded ?? 0 };
    });
  };

  // [how far behind `from` what is played is, how loud it is] until `samples` after it.
  near.listen = (slot, from, samples) =>
    new Promise((resolve) => {
      const heard = [];
      const timer = setInterval(() => {
        const at = (near.played(slot) - from) | 0;
        heard.push([at, near.loudness()]);
        if (at < samples) return;
        clearInterval(timer);
        resolve(heard);
      }, 20);
    });
})();
