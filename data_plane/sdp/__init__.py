"""SDP as WebRTC uses it (RFC 8829): a client's offer in, this node's answer out."""

from data_plane.sdp.answer import Local, describe
from data_plane.sdp.audio import AudioLine
from data_plane.sdp.candidate import Candidate
from data_plane.sdp.fragment import BadFragment, Fragment, describe_restart
from data_plane.sdp.offer import Offer, RefusedLine, Role, Setup
from data_plane.sdp.section import BadOffer, UnservedOffer
from data_plane.sdp.video import CODECS, Codec, VideoFormat, VideoLine

__all__ = [
    "CODECS",
    "AudioLine",
    "BadFragment",
    "BadOffer",
    "Candidate",
    "Codec",
    "Fragment",
    "Local",
    "Offer",
    "RefusedLine",
    "Role",
    "Setup",
    "UnservedOffer",
    "VideoFormat",
    "VideoLine",
    "describe",
    "describe_restart",
]
