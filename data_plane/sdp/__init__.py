"""SDP as WebRTC uses it (RFC 8829): a client's offer in, this node's answer out."""

from data_plane.sdp.answer import Local, describe
from data_plane.sdp.offer import AudioLine, BadOffer, Offer, RefusedLine, Role, Setup

__all__ = ["AudioLine", "BadOffer", "Local", "Offer", "RefusedLine", "Role", "Setup", "describe"]
