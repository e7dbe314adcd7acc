// Runs before the page's own scripts: lets a test see, and break, what the browser keeps to itself.
(() => {
  const near = { connections: [], microphones: [], stats: null, csrc: null, shut: false, outputs: [] };
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
      const stream = await ask(wanted);
      near.microphones.push(...stream.getAudioTracks());
      return stream;
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
      const look = () => (condition() ? resolve() : setTimeout(look, 20));
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

  near.receiver = (slot) => near.connections.at(-1).getReceivers()[1 + slot];
  near.played = (slot) => near.receiver(slot).getSynchronizationSources()[0]?.rtpTimestamp ?? null;

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
