"""The self-check, on sockets that answer and sockets that do not."""

import asyncio
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from data_plane import selfcheck
from data_plane.selfcheck import Target, describe_silence, port_list, silent
from data_plane.settings import NodeSettings
from data_plane.stun import check_request, is_success
from tests.data_plane.support import GAUGES, running

FREE = dict.fromkeys(GAUGES, 0)


@pytest.fixture
def swallowing() -> Iterator[tuple[int, int]]:
    """Ports, UDP and TCP, at which packets arrive and nobody reads them."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp, socket.socket() as tcp:
        udp.bind(("127.0.0.1", 0))
        tcp.bind(("127.0.0.1", 0))
        tcp.listen()
        yield udp.getsockname()[1], tcp.getsockname()[1]


def target(port: int, *, tcp: bool = False) -> Target:
    return Target("127.0.0.1", port, "ufrag", "password", "client", tcp)


async def test_a_node_that_is_reached_has_nothing_to_say() -> None:
    async with running(NodeSettings(("127.0.0.1", "::1"), workers=2)) as here:
        assert await here.node.reach.doubts(exposed=False) == []
        assert here.gauges == FREE


async def test_a_port_that_swallows_packets_is_silent(
    swallowing: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(selfcheck, "WITHIN", 0.3)
    targets = [
        Target("127.0.0.1", port, "ufrag", "password", "client", bool(tcp)) for tcp, port in enumerate(swallowing)
    ]
    assert await silent(targets) == targets


async def test_a_port_that_is_closed_is_silent(swallowing: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selfcheck, "WITHIN", 0.3)
    udp, tcp = swallowing  # of the other transport each
    targets = [
        Target("127.0.0.1", udp, "ufrag", "password", "client", True),
        Target("127.0.0.1", tcp, "ufrag", "password", "client"),
    ]
    assert await silent(targets) == targets


async def test_an_answer_by_tcp_is_read_in_its_frame() -> None:
    """RFC 4571 framing, in pieces."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        length = int.from_bytes(await reader.readexactly(2), "big")
        request = await reader.readexactly(length)
        success = b"\x01\x01\x00\x00" + request[4:20]
        writer.write(len(success).to_bytes(2, "big") + success[:7])
        await writer.drain()
        writer.write(success[7:])
        await writer.drain()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        assert await silent([target(port, tcp=True)]) == []


def test_only_the_answer_to_this_check_counts() -> None:
    mine, other = bytes(range(12)), bytes(12)
    request = check_request(mine, local_ufrag="a", remote_ufrag="b", password="c")
    assert not is_success(request, mine)
    assert not is_success(b"\x01\x01\x00\x00" + request[4:20], other)
    assert not is_success(b"", mine)
    assert is_success(b"\x01\x01\x00\x00" + request[4:20], mine)


def test_silence_is_described_for_each_transport() -> None:
    targets = [
        Target("192.0.2.2", 3478, "u", "p", "c"),
        Target("2001:db8::2", 3479, "u", "p", "c"),
        Target("192.0.2.2", 3478, "u", "p", "c", True),
    ]
    udp, tcp = describe_silence(targets, [3478, 3479])
    assert "by UDP at 192.0.2.2:3478, [2001:db8::2]:3479" in udp
    assert "let TCP ports 3478-3479 through" in tcp
    assert describe_silence([], [3478]) == []


@pytest.mark.parametrize(
    ("ports", "text"), [([5], "port 5"), ([5, 6, 7], "ports 5-7"), ([7, 5], "ports 5, 7"), ([5, 5], "port 5")]
)
def test_ports_are_listed_as_in_a_firewall(ports: list[int], text: str) -> None:
    assert port_list(ports) == text


BLOCKED = """
set -e
ip link set lo up
ip address add 192.0.2.77/32 dev lo
ip rule add priority 1 to 192.0.2.77 ipproto udp dport 40404 blackhole
ip rule add priority 2 lookup local
ip rule del priority 0
exec "$0" -m chorale serve
"""


def test_a_firewall_that_swallows_voice_is_said_at_the_start(tmp_path: Path) -> None:
    """In a network namespace, where the kernel drops UDP to one address."""
    settings = {
        "CHORALE_HOST": "127.0.0.1",
        "CHORALE_PORT": "0",
        "CHORALE_DATA_DIR": str(tmp_path),
        "CHORALE_MEDIA_ADDRESSES": "127.0.0.1,192.0.2.77",
        "CHORALE_MEDIA_PORT": "40404",
        "CHORALE_MEDIA_WORKERS": "1",
        "PYTHONUNBUFFERED": "1",
        "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
    }
    as_root = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    process = subprocess.Popen(
        ["unshare", *as_root, "--net", "bash", "-c", BLOCKED, sys.executable],
        env=settings,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    try:
        said = ""
        for line in process.stdout:
            said += line
            if "Ctrl+C" in said and line.strip().endswith("firewall."):
                break
    finally:
        process.terminate()
        process.wait(10)
    words = " ".join(said.split())
    assert "Nothing arrives by UDP at 192.0.2.77:40404, not even from this machine" in words, said
    assert "let UDP port 40404 through its firewall." in words
    assert "by UDP at 127.0.0.1" not in words
