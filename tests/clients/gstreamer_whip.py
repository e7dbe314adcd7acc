"""WHIP and WHEP on GStreamer's webrtcbin, run by the system's Python, to which its bindings belong.

    /usr/bin/python3 gstreamer_whip.py URL publish SENT [video]
    /usr/bin/python3 gstreamer_whip.py URL play RECEIVED [video]

Both files hold samples (mono, 48 kHz, 16 bits, little endian), or with `video` frames (I420, 320 by 180, 15 a second).
The bearer is the first line of standard input; the end of it makes the program DELETE its session. Standard output is
one JSON object a line: {"event": "created" | "connected" | "heard" | "seen" | "deleted" | "failed", ...}; "heard" or
"seen" once enough has been played to it.
"""

import json
import os
import sys
import threading
import urllib.error
import urllib.request
from dataclasses import dataclass
from email.message import Message
from typing import NoReturn
from urllib.parse import urljoin

import gi  # type: ignore[import-not-found]

gi.require_version("Gst", "1.0")
gi.require_version("GstSdp", "1.0")
gi.require_version("GstWebRTC", "1.0")
from gi.repository import GLib, Gst, GstSdp, GstWebRTC  # type: ignore[import-not-found]  # noqa: E402

Direction = GstWebRTC.WebRTCRTPTransceiverDirection
Connection = GstWebRTC.WebRTCPeerConnectionState

TIMEOUT = 10  # seconds for a request
RTP = "application/x-rtp,media=audio,encoding-name=OPUS,encoding-params=(string)2,payload=111,clock-rate=48000"
# A file is read as fast as it is written elsewhere, so something has to keep time.
MICROPHONE = (
    "filesrc name=file ! rawaudioparse format=pcm pcm-format=s16le sample-rate=48000 num-channels=1 ! clocksync ! "
    f"audioconvert ! opusenc frame-size=20 ! rtpopuspay pt=111 ! capsfilter caps={RTP}"
)
EAR = (
    "rtpopusdepay ! opusdec ! audioconvert ! audioresample ! audio/x-raw,format=S16LE,rate=48000,channels=1 ! "
    "filesink name=file sync=false"
)
VIDEO_RTP = "application/x-rtp,media=video,encoding-name=VP8,payload=96,clock-rate=90000"
CAMERA = (
    "filesrc name=file ! rawvideoparse format=i420 width=320 height=180 framerate=15/1 ! clocksync ! "
    f"vp8enc deadline=1 keyframe-max-dist=30 ! rtpvp8pay pt=96 picture-id-mode=15-bit ! capsfilter caps={VIDEO_RTP}"
)
EYE = (
    "rtpvp8depay ! vp8dec ! videoscale ! videoconvert ! video/x-raw,format=I420,width=320,height=180 ! "
    "filesink name=file sync=false"
)


@dataclass(frozen=True)
class Medium:
    """`enough`: bytes until `event` is told."""

    rtp: str
    source: str
    sink: str
    event: str
    enough: int


MEDIA = {
    "audio": Medium(RTP, MICROPHONE, EAR, "heard", 3 * 48_000 * 2),
    "video": Medium(VIDEO_RTP, CAMERA, EYE, "seen", 20 * 320 * 180 * 3 // 2),
}


def tell(event: str, **details: object) -> None:
    print(json.dumps({"event": event, **details}), flush=True)


def fail(message: str) -> NoReturn:
    tell("failed", message=message)
    os._exit(1)  # GStreamer's threads may be the ones that failed


class Client:
    def __init__(self, url: str, way: str, path: str, medium: Medium, bearer: str) -> None:
        self.url, self.path, self.medium, self.bearer = url, path, medium, bearer
        self.session = ""
        self.received = 0  # bytes
        self.loop = GLib.MainLoop()
        self.pipeline = Gst.Pipeline()
        bus = self.pipeline.get_bus()
        bus.add_signal_watch()
        bus.connect("message::error", lambda _, message: fail(str(message.parse_error())))
        self.webrtc = Gst.ElementFactory.make("webrtcbin")
        self.webrtc.set_property("bundle-policy", GstWebRTC.WebRTCBundlePolicy.MAX_BUNDLE)
        self.pipeline.add(self.webrtc)
        # Loopback alone, which libnice leaves out by itself. The binding takes over the agent's only reference, so it
        # is kept.
        self.agent = self.webrtc.get_property("ice-agent")
        self.agent.emit("add-local-ip-address", "127.0.0.1")
        self.webrtc.connect("notify::connection-state", self.connection_changed)
        self.webrtc.connect("notify::ice-gathering-state", self.gathering_changed)
        self.webrtc.connect("on-negotiation-needed", self.offer)
        self.webrtc.connect("pad-added", self.receive)
        if way == "publish":
            self.send()
        else:
            self.webrtc.emit("add-transceiver", Direction.RECVONLY, Gst.Caps.from_string(medium.rtp))

    def run(self) -> None:
        self.pipeline.set_state(Gst.State.PLAYING)
        threading.Thread(target=self.wait_for_end, daemon=True).start()
        self.loop.run()

    # The session. GStreamer's threads tell what happened; what takes time is done in the loop's.

    def offer(self, *_: object) -> None:
        self.webrtc.emit("create-offer", None, Gst.Promise.new_with_change_func(self.offered))

    def offered(self, promise: "Gst.Promise") -> None:
        reply = promise.get_reply()  # the offer lives as long as this
        self.webrtc.emit("set-local-description", reply.get_value("offer"), None)

    def gathering_changed(self, *_: object) -> None:
        if self.webrtc.get_property("ice-gathering-state") == GstWebRTC.WebRTCICEGatheringState.COMPLETE:
            GLib.idle_add(self.create)

    def create(self) -> None:
        offer = self.webrtc.get_property("local-description").sdp.as_text()
        status, headers, answer = self.request("POST", self.url, offer)
        if status != 201:
            fail(f"{status}: {answer}")
        self.session = urljoin(self.url, headers["Location"])
        tell("created", location=headers["Location"])
        _, message = GstSdp.SDPMessage.new_from_text(answer)
        description = GstWebRTC.WebRTCSessionDescription.new(GstWebRTC.WebRTCSDPType.ANSWER, message)
        self.webrtc.emit("set-remote-description", description, None)

    def request(self, method: str, url: str, sdp: str | None = None) -> tuple[int, Message, str]:
        headers = {"Authorization": f"Bearer {self.bearer}", "Content-Type": "application/sdp"}
        body = None if sdp is None else sdp.encode()
        request = urllib.request.Request(url, body, headers, method=method)  # noqa: S310
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT) as answer:  # noqa: S310
                return answer.status, answer.headers, answer.read().decode()
        except urllib.error.HTTPError as problem:
            return problem.code, problem.headers, problem.read().decode()

    def connection_changed(self, *_: object) -> None:
        match self.webrtc.get_property("connection-state"):
            case Connection.CONNECTED:
                tell("connected")
            case Connection.FAILED:
                fail("the connection failed")

    def send(self) -> None:
        source = Gst.parse_bin_from_description(self.medium.source, True)
        source.get_by_name("file").set_property("location", self.path)
        self.pipeline.add(source)
        source.get_static_pad("src").link(self.webrtc.request_pad_simple("sink_%u"))
        self.webrtc.emit("get-transceiver", 0).set_property("direction", Direction.SENDONLY)

    def receive(self, _: "Gst.Element", pad: "Gst.Pad") -> None:
        if pad.direction != Gst.PadDirection.SRC:
            return
        sink = Gst.parse_bin_from_description(self.medium.sink, True)
        file = sink.get_by_name("file")
        file.set_property("location", self.path)
        file.get_static_pad("sink").add_probe(Gst.PadProbeType.BUFFER, self.write)
        self.pipeline.add(sink)
        pad.link(sink.get_static_pad("sink"))
        sink.sync_state_with_parent()

    def write(self, _: "Gst.Pad", info: "Gst.PadProbeInfo") -> "Gst.PadProbeReturn":
        before = self.received
        self.received += info.get_buffer().get_size()
        if before < self.medium.enough <= self.received:
            tell(self.medium.event)
        return Gst.PadProbeReturn.OK

    def wait_for_end(self) -> None:
        sys.stdin.read()
        GLib.idle_add(self.end)

    def end(self) -> None:
        status = self.request("DELETE", self.session)[0] if self.session else 0
        self.pipeline.set_state(Gst.State.NULL)
        tell("deleted", status=status)
        self.loop.quit()


if __name__ == "__main__":
    Gst.init(None)
    url, way, path, *kind = sys.argv[1:]
    Client(url, way, path, MEDIA["".join(kind) or "audio"], bearer=sys.stdin.readline().strip()).run()
