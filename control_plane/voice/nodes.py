"""The port to a media node."""

from collections.abc import AsyncIterator, Sequence
from typing import Protocol

from proto.media import MediaCommand, MediaEvent
from proto.rest import IceServer


class NodeLink(Protocol):
    @property
    def node_id(self) -> str: ...

    @property
    def signalling(self) -> str:
        """Where clients find its signalling: a WebSocket URL, or a path on the page's own origin."""

    @property
    def ice_servers(self) -> Sequence[IceServer]: ...

    @property
    def stopped(self) -> bool:
        """After the end of `events`: whether the node had been asked to stop."""

    async def send(self, command: MediaCommand) -> None:
        """Returns when the node has it or has gone; a node that has gone ends its sessions anyway."""

    def events(self) -> AsyncIterator[MediaEvent]:
        """What happens on the node, in order; the end of the iterator is the end of the node."""
