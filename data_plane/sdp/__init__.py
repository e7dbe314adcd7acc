"""SDP as WebRTC uses it (RFC 8829): a client's offer in, this node's answer out."""

from data_plane.sdp.answer import Local, describe
from data_plane.sdp.candidate import Candidate
from data_plane.sdp.fragment import BadFragment, Fragment, describe_restart
from data_plane.sdp.offer import AudioLine, BadOffer, Offer, RefusedLine, Role, Setup, UnservedOffer

__all__ = [
    "AudioLine",
    "BadFragment",
    "BadOffer",
    "Candidate",
    "Fragment",
    "Local",
    "Offer",
    "RefusedLine",
    "Role",
    "Setup",
    "UnservedOffer",
    "describe",
    "describe_restart",
]
