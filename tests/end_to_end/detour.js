// Runs before the page's own scripts: makes the page's connections take one way of several. `chorale_detour` is put before it:
// keep: which candidates of an answer stay (a regular expression); ports: those of candidates that become others, by number;
// relay: nothing but a TURN server will do.
(() => {
  const { keep, ports, relay } = chorale_detour;

  const redirect = (line) => {
    const fields = line.split(' ');
    fields[5] = ports[fields[5]] ?? fields[5];
    return fields.join(' ');
  };

  const detour = (sdp) =>
    sdp
      .split('\r\n')
      .filter((line) => !line.startsWith('a=candidate:') || new RegExp(keep).test(line))
      .map((line) => (line.startsWith('a=candidate:') ? redirect(line) : line))
      .join('\r\n');

  window.RTCPeerConnection = class extends window.RTCPeerConnection {
    constructor(configuration, ...options) {
      super(relay ? { ...configuration, iceTransportPolicy: 'relay' } : configuration, ...options);
    }

    setRemoteDescription(description) {
      return super.setRemoteDescription({ type: description.type, sdp: detour(description.sdp) });
    }
  };
})();
