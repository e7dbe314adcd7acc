"""Where a node can be reached, and why it perhaps cannot: what its operator is told at the start."""

import secrets

from chorale_engine import Engine, Peer

from data_plane.addresses import doubts, offered
from data_plane.directory import Directory
from data_plane.effects import PeerHandle
from data_plane.selfcheck import Target, describe_silence, port_list, silent
from data_plane.settings import NodeSettings


class Reach:
    """Of a node that runs."""

    def __init__(self, engine: Engine, settings: NodeSettings, directory: Directory) -> None:
        self._engine, self._settings, self._directory = engine, settings, directory

    @property
    def ports(self) -> list[int]:
        """Of the workers; each has the same on every address."""
        return [bound[0][1] for bound in self._engine.addresses]

    @property
    def transports(self) -> str:
        """What to open in a firewall: "UDP and TCP, ports 3478-3479"."""
        return f"{'UDP and TCP' if self._settings.tcp else 'UDP'}, {port_list(self.ports)}"

    @property
    def addresses(self) -> list[str]:
        """Those that clients are told."""
        candidates = offered(self._engine.addresses[0], self._settings.announce, tcp=False)
        return [each.address for each in candidates]

    async def doubts(self, *, exposed: bool) -> list[str]:
        """Sentences on why clients will not reach this node, if they will not. `exposed`: its page is served beyond
        this machine. Takes a second when something is wrong."""
        found = doubts(self._settings.addresses, self._settings.announce, exposed=exposed)
        return [*found, *describe_silence(await self._silent(), self.ports)]

    async def _silent(self) -> list[Target]:
        """The sockets of the engine that do not answer a peer made for this."""
        targets: list[Target] = []
        peers: list[PeerHandle] = []
        try:
            for _ in self._engine.addresses:  # each in a room of its own: they go to different workers
                ufrag, password, client_ufrag = secrets.token_hex(8), secrets.token_hex(16), secrets.token_hex(4)
                config = Peer(
                    local_ufrag=ufrag,
                    local_password=password,
                    remote_ufrag=client_ufrag,
                    remote_password=secrets.token_hex(16),
                    fingerprints=[("sha-256", secrets.token_bytes(32))],
                    cname="",
                )
                peer = self._directory.new_peer()
                worker = self._engine.add_peer(room=self._directory.new_room(), peer=peer, config=config)
                peers.append(peer)
                places = offered(self._engine.addresses[worker], (), tcp=self._settings.tcp)
                targets += [Target(each.address, each.port, ufrag, password, client_ufrag, each.tcp) for each in places]
            return await silent(targets)
        finally:
            for peer in peers:
                self._engine.remove_peer(peer)
