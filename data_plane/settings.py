"""Settings of a media node: `CHORALE_MEDIA_*` and `CHORALE_VIDEO_*` variables, or the TOML file that `CHORALE_CONFIG`
names."""

import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from data_plane.addresses import MAX_ADDRESSES, default_addresses, detect
from data_plane.sdp import CODECS, Codec
from data_plane.video import PREFERENCE

FILE_KEYS = (
    "media_addresses",
    "media_announce",
    "media_port",
    "media_spread_above",
    "media_tcp",
    "media_workers",
    "video_codecs",
)
# By default: beyond these a machine has better things to do than voice.
MOST_WORKERS = 8
SPREAD_ABOVE = 200
_SWITCH = {"on": True, "true": True, "yes": True, "1": True, "off": False, "false": False, "no": False, "0": False}


class NodeSettingsError(Exception):
    """One clear sentence for the operator."""


@dataclass(frozen=True, slots=True)
class NodeSettings:
    addresses: tuple[str, ...]  # one socket each and worker; clients are offered all of them
    port: int = 0  # of the first worker, the others have those that follow; 0: any free ones
    announce: tuple[str, ...] = ()  # what clients are offered instead, where a router or a cloud translates
    workers: int = 1
    spread_above: int = SPREAD_ABOVE  # peers of a room, which more workers than one serve from then on
    tcp: bool = True  # offered too, for networks that pass no UDP
    video_codecs: tuple[Codec, ...] = PREFERENCE  # the first that everybody in a room can decode is asked for


def load_node_settings(environ: Mapping[str, str]) -> NodeSettings:
    """Without a setting: loopback, for a browser on this machine, and every interface; a worker for each processor.
    Raises `NodeSettingsError`."""
    file = _file(environ)
    addresses = _addresses("CHORALE_MEDIA_ADDRESSES", environ, file)
    port = _number("CHORALE_MEDIA_PORT", environ, file, 0, (0, 65535), "a port")
    cores = min(len(os.sched_getaffinity(0)), MOST_WORKERS)
    workers = _number("CHORALE_MEDIA_WORKERS", environ, file, cores, (1, 64), "a number of workers")
    if port and port + workers - 1 > 65535:
        raise NodeSettingsError(f"CHORALE_MEDIA_PORT is {port}, which leaves no ports for {workers} workers.")
    return NodeSettings(
        addresses=addresses or default_addresses(detect()),
        port=port,
        announce=_addresses("CHORALE_MEDIA_ANNOUNCE", environ, file),
        workers=workers,
        spread_above=_number(
            "CHORALE_MEDIA_SPREAD_ABOVE", environ, file, SPREAD_ABOVE, (1, 1_000_000), "a number of people"
        ),
        tcp=_switch("CHORALE_MEDIA_TCP", environ, file),
        video_codecs=_codecs("CHORALE_VIDEO_CODECS", environ, file) or PREFERENCE,
    )


def _number(
    name: str, environ: Mapping[str, str], file: Mapping[str, Any], default: int, within: tuple[int, int], what: str
) -> int:
    given = str(environ.get(name) or file.get(name.removeprefix("CHORALE_").lower(), default))
    least, most = within
    if not re.fullmatch("[0-9]{1,9}", given) or not least <= int(given) <= most:
        raise NodeSettingsError(f"{name} is {given!r}, which is not {what} from {least} to {most}.")
    return int(given)


def _switch(name: str, environ: Mapping[str, str], file: Mapping[str, Any]) -> bool:
    given = str(environ.get(name) or file.get(name.removeprefix("CHORALE_").lower(), "on"))
    chosen = _SWITCH.get(given.lower())
    if chosen is None:
        raise NodeSettingsError(f"{name} is {given!r}, which is neither on nor off.")
    return chosen


def _codecs(name: str, environ: Mapping[str, str], file: Mapping[str, Any]) -> tuple[Codec, ...]:
    known: dict[str, Codec] = {each: each for each in CODECS}
    chosen: dict[Codec, None] = {}
    for each in _listed(name, environ, file):
        if each.lower() not in known:
            raise NodeSettingsError(f"{name} names {each!r}, which is none of {', '.join(PREFERENCE)}.")
        chosen[known[each.lower()]] = None
    return tuple(chosen)


def _addresses(name: str, environ: Mapping[str, str], file: Mapping[str, Any]) -> tuple[str, ...]:
    chosen = dict.fromkeys(_address(name, each) for each in _listed(name, environ, file))
    if len(chosen) > MAX_ADDRESSES:
        raise NodeSettingsError(f"{name} names {len(chosen)} addresses; at most {MAX_ADDRESSES} are used.")
    return tuple(chosen)


def _listed(name: str, environ: Mapping[str, str], file: Mapping[str, Any]) -> list[str]:
    """A list of a file, or a line with commas of either."""
    given = environ.get(name) or file.get(name.removeprefix("CHORALE_").lower()) or ""
    listed = given if isinstance(given, list) else str(given).split(",")
    return [str(each).strip() for each in listed if str(each).strip()]


def _address(name: str, text: str) -> str:
    try:
        ip = ip_address(text)
    except ValueError:
        raise NodeSettingsError(f"{name} names {text!r}, which is not an IP address.") from None
    if ip.is_unspecified or ip.is_multicast or "%" in text:
        raise NodeSettingsError(f"{name} names {text}, which no client can send to: name this machine's own addresses.")
    return str(ip)


def _file(environ: Mapping[str, str]) -> dict[str, Any]:
    """The control plane's settings have read the same file before and said what is wrong with it as a whole."""
    path = environ.get("CHORALE_CONFIG")
    if not path:
        return {}
    try:
        given = tomllib.loads(Path(path).read_text())
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as wrong:
        raise NodeSettingsError(f"CHORALE_CONFIG names {path!r}, which cannot be used: {wrong}.") from None
    return {key: given[key] for key in FILE_KEYS if key in given}
