// Runs before the page's own scripts: what is sent and received of video, and what is shown on the page.
(() => {
  const connections = [];
  const limits = { receive: null };

  const statistics = async (type) => {
    const found = [];
    for (const connection of connections) {
      if (connection.connectionState === 'closed') continue;
      const all = await connection.getStats();
      for (const report of all.values()) {
        if (report.type !== type || report.kind !== 'video') continue;
        const codec = all.get(report.codecId)?.mimeType?.toLowerCase().replace('video/', '');
        found.push({ ...report, codec });
      }
    }
    return found;
  };

  const picture = (user) => document.querySelector(`[data-testid="video-tile"][data-user="${user}"] video`);

  const frames = new Map(); // by user: {last, longest, count} of the frames that were shown

  window.choraleWatcher = {
    limits,
    inbound: () => statistics('inbound-rtp'),
    outbound: () => statistics('outbound-rtp'),
    width: (user) => picture(user)?.videoWidth ?? 0,
    // From now on the longest time, in milliseconds, between two frames of `user` that are shown.
    look(user) {
      const seen = { last: performance.now(), longest: 0, count: 0 };
      frames.set(user, seen);
      const video = picture(user);
      const shown = (now) => {
        if (frames.get(user) !== seen) return;
        seen.longest = Math.max(seen.longest, now - seen.last);
        seen.last = now;
        seen.count += 1;
        video.requestVideoFrameCallback(shown);
      };
      video.requestVideoFrameCallback(shown);
    },
    looked(user) {
      const { last, longest, count } = frames.get(user);
      return { longest: Math.max(longest, performance.now() - last), count };
    },
    // The frame that is shown: RGBA of every pixel.
    pixels(user) {
      const video = picture(user);
      const canvas = new OffscreenCanvas(video.videoWidth, video.videoHeight);
      const context = canvas.getContext('2d');
      context.drawImage(video, 0, 0);
      const { data, width, height } = context.getImageData(0, 0, canvas.width, canvas.height);
      let text = '';
      for (let at = 0; at < data.length; at += 0x8000) text += String.fromCharCode(...data.subarray(at, at + 0x8000));
      return { width, height, data: btoa(text) };
    },
  };

  window.RTCPeerConnection = class extends window.RTCPeerConnection {
    constructor(...options) {
      super(...options);
      connections.push(this);
    }
  };

  // A browser that decodes less than this one.
  const prefer = RTCRtpTransceiver.prototype.setCodecPreferences;
  RTCRtpTransceiver.prototype.setCodecPreferences = function (codecs) {
    const { receive } = limits;
    const known = ({ mimeType }) => receive.includes(mimeType.toLowerCase().replace('video/', ''));
    const limited = receive && this.direction === 'recvonly' ? codecs.filter(known) : codecs;
    return prefer.call(this, limited);
  };
})();
