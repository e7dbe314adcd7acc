#!/usr/bin/env python3
"""Impair the path between two network namespaces: loss, delay, jitter, rate, reordering.

For kernels without sch_netem. Each namespace gets one end of a TUN pair (`imp0`, 10.78.0.1 and 10.78.0.2) and this
process carries the packets between them, late or not at all. Needs root and /dev/net/tun; carries about 60k packets/s.

    ip netns add a; ip netns add b
    tools/netem.py a b --loss 5 --delay 20 --jitter 30 [--rate-kbps 800] [--reorder] [--seed 7]

Prints `ready` when both ends are up and ends on SIGTERM. Loss is in percent, delay and jitter in milliseconds, each
way. What would wait longer than `--queue` for a path of limited rate is dropped, as a router does whose queue is full.
Any of the numbers changes while it runs by a line on standard input that names it: `rate-kbps 300`, and `rate-kbps 0`
for no limit.
"""

import argparse
import ctypes
import fcntl
import heapq
import os
import random
import select
import signal
import struct
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field

ADDRESSES = "10.78.0.1", "10.78.0.2"
CLONE_NEWNET = 0x40000000
TUNSETIFF = 0x400454CA
IFF_TUN, IFF_NO_PI = 0x0001, 0x1000
BATCH = 64  # packets read from one side before the other gets its turn


def enter(namespace: int) -> None:
    """This thread, and what it starts from now on, is in the network namespace of that file descriptor."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(namespace, CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "cannot enter a network namespace")


def open_tun(namespace: str, address: str) -> int:
    """Create `imp0` in `namespace` with `address`/24 and return its file descriptor."""
    home = os.open("/proc/self/ns/net", os.O_RDONLY)
    there = os.open(f"/run/netns/{namespace}", os.O_RDONLY)
    enter(there)
    tun = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(tun, TUNSETIFF, struct.pack("16sH22x", b"imp0", IFF_TUN | IFF_NO_PI))
    enter(home)
    os.close(home)
    os.close(there)
    for command in (f"addr add {address}/24 dev imp0", "link set imp0 mtu 1500 txqueuelen 1000 up"):
        subprocess.check_call(["ip", "-n", namespace, *command.split()])
    return tun


@dataclass
class Path:
    """Both ways between two file descriptors. `numbers`: those of the command line, which may change."""

    other: dict[int, int]
    numbers: dict[str, float]
    reorder: bool
    chance: random.Random
    _last_due: dict[int, float] = field(default_factory=dict)
    _busy_until: dict[int, float] = field(default_factory=dict)
    _in_flight: list[tuple[float, int, int, bytes]] = field(default_factory=list)
    _count: int = 0

    def take(self, source: int, packet: bytes, now: float) -> None:
        numbers, to = self.numbers, self.other[source]
        if self.chance.random() * 100 < numbers["loss"]:
            return
        due = now + (numbers["delay"] + self.chance.random() * numbers["jitter"]) / 1000
        if rate := numbers["rate_kbps"]:
            begins = max(self._busy_until.get(to, 0.0), now)
            if begins - now > numbers["queue"] / 1000:
                return
            self._busy_until[to] = begins + len(packet) * 8 / (rate * 1000)
            due += self._busy_until[to] - now
        if not self.reorder:
            due = self._last_due[to] = max(due, self._last_due.get(to, 0.0))
        self._count += 1
        heapq.heappush(self._in_flight, (due, self._count, to, packet))

    def deliver(self, now: float) -> None:
        while self._in_flight and self._in_flight[0][0] <= now:
            _, _, to, packet = heapq.heappop(self._in_flight)
            with suppress(OSError):  # the far queue is full: one more lost packet
                os.write(to, packet)

    def wait(self, now: float) -> float:
        """Seconds until something is due; -1: for ever."""
        return max(0.0, self._in_flight[0][0] - now) if self._in_flight else -1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("a")
    parser.add_argument("b")
    defaults = {"loss": 0, "delay": 0, "jitter": 0, "rate-kbps": 0, "queue": 200}
    for name, default in defaults.items():
        parser.add_argument(f"--{name}", type=float, default=default)
    parser.add_argument("--reorder", action="store_true")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()

    a, b = open_tun(args.a, ADDRESSES[0]), open_tun(args.b, ADDRESSES[1])
    names = [each.replace("-", "_") for each in defaults]
    numbers = {name: getattr(args, name) for name in names}
    path = Path({a: b, b: a}, numbers, args.reorder, random.Random(args.seed))  # noqa: S311
    poller = select.epoll()
    for each in (a, b, sys.stdin.fileno()):
        with suppress(PermissionError):  # a file is no pipe: nothing changes then
            poller.register(each, select.EPOLLIN)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    print("ready", flush=True)

    while True:
        for ready, _ in poller.poll(path.wait(time.monotonic())):
            if ready not in path.other:
                words = os.read(ready, 4096).decode().split()
                for name, value in zip(words[::2], words[1::2], strict=True):
                    numbers[name.replace("-", "_")] = float(value)
                if not words:
                    poller.unregister(ready)
                continue
            for _ in range(BATCH):
                try:
                    packet = os.read(ready, 2048)
                except BlockingIOError:
                    break
                path.take(ready, packet, time.monotonic())
        path.deliver(time.monotonic())


if __name__ == "__main__":
    main()
