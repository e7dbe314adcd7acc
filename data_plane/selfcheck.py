"""Does anything arrive? Connectivity checks from fresh sockets of this machine to the engine's own."""

import asyncio
import secrets
import socket
import struct
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from data_plane.stun import check_request, is_success

WITHIN = 1.0  # seconds for an answer that takes less than a millisecond
REPEAT = 0.2  # seconds between requests by UDP: one may find a full buffer


@dataclass(frozen=True, slots=True)
class Target:
    """A socket of the engine, and credentials that it answers to: its own, and the client's fragment."""

    address: str
    port: int
    ufrag: str
    password: str
    client_ufrag: str
    tcp: bool = False


async def silent(targets: Iterable[Target]) -> list[Target]:
    """Those from which no answer comes, asked at once."""
    asked = list(targets)
    answers = await asyncio.gather(*(_answers(each) for each in asked))
    return [each for each, answered in zip(asked, answers, strict=True) if not answered]


async def _answers(target: Target) -> bool:
    transaction = secrets.token_bytes(12)
    request = check_request(
        transaction, local_ufrag=target.client_ufrag, remote_ufrag=target.ufrag, password=target.password
    )
    ask = _ask_tcp if target.tcp else _ask_udp
    try:
        async with asyncio.timeout(WITHIN):
            return is_success(await ask(target, request), transaction)
    except (OSError, TimeoutError, asyncio.IncompleteReadError):
        return False


async def _ask_udp(target: Target, request: bytes) -> bytes:
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_INET6 if ":" in target.address else socket.AF_INET, socket.SOCK_DGRAM) as asking:
        asking.setblocking(False)
        asking.connect((target.address, target.port))
        while True:
            asking.send(request)
            with suppress(TimeoutError):
                async with asyncio.timeout(REPEAT):
                    return await loop.sock_recv(asking, 2048)


async def _ask_tcp(target: Target, request: bytes) -> bytes:
    reader, writer = await asyncio.open_connection(target.address, target.port)
    try:
        writer.write(struct.pack("!H", len(request)) + request)  # RFC 4571 §2
        (length,) = struct.unpack("!H", await reader.readexactly(2))
        return await reader.readexactly(length)
    finally:
        writer.close()


def describe_silence(silent: Sequence[Target], ports: Sequence[int]) -> list[str]:
    """A sentence for each transport. `ports`: all that clients are offered."""
    sentences = []
    for tcp, name in ((False, "UDP"), (True, "TCP")):
        places = [
            f"[{each.address}]:{each.port}" if ":" in each.address else f"{each.address}:{each.port}"
            for each in silent
            if each.tcp == tcp
        ]
        if places:
            sentences.append(
                f"Nothing arrives by {name} at {', '.join(places)}, not even from this machine: "
                f"let {name} {port_list(ports)} through its firewall."
            )
    return sentences


def port_list(ports: Sequence[int]) -> str:
    """As an operator writes it into a firewall: "port 3478", "ports 3478-3481", "ports 3478, 5000"."""
    chosen = sorted(set(ports))
    if len(chosen) == 1:
        return f"port {chosen[0]}"
    if chosen == list(range(chosen[0], chosen[-1] + 1)):
        return f"ports {chosen[0]}-{chosen[-1]}"
    return f"ports {', '.join(map(str, chosen))}"
