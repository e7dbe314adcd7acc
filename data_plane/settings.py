"""Settings of a media node: `CHORALE_MEDIA_*` variables, or the TOML file named by `CHORALE_CONFIG`."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import ifaddr

# Enough for every real machine, and a bound on what clients are told.
MAX_ADDRESSES = 8
FILE_KEYS = ("media_addresses", "media_announce", "media_port")


class NodeSettingsError(Exception):
    """One clear sentence for the operator."""


@dataclass(frozen=True, slots=True)
class NodeSettings:
    addresses: tuple[str, ...]  # one UDP socket each; clients are offered all of them
    port: int = 0  # 0: any free one
    announce: tuple[str, ...] = ()  # what clients are offered instead, where a router or a cloud translates


def interface_addresses() -> list[str]:
    """The IPv4 addresses of this machine that others can reach, in the order of its interfaces."""
    found = [str(ip.ip) for adapter in ifaddr.get_adapters() for ip in adapter.ips if ip.is_IPv4]
    return [each for each in found if not (ip_address(each).is_loopback or ip_address(each).is_link_local)]


def load_node_settings(environ: Mapping[str, str]) -> NodeSettings:
    """Without a setting: loopback, for a browser on this machine, and every interface. Raises `NodeSettingsError`."""
    file = _file(environ)
    addresses = _addresses("CHORALE_MEDIA_ADDRESSES", environ, file)
    port = environ.get("CHORALE_MEDIA_PORT") or file.get("media_port") or 0
    if not str(port).isdecimal() or int(port) > 65535:
        raise NodeSettingsError(f"CHORALE_MEDIA_PORT is {port!r}, which is not a port from 0 to 65535.")
    return NodeSettings(
        addresses=addresses or tuple(dict.fromkeys(("127.0.0.1", *interface_addresses())))[:MAX_ADDRESSES],
        port=int(port),
        announce=_addresses("CHORALE_MEDIA_ANNOUNCE", environ, file),
    )


def _addresses(name: str, environ: Mapping[str, str], file: Mapping[str, Any]) -> tuple[str, ...]:
    """A list of a file, or a line with commas of either."""
    given = environ.get(name) or file.get(name.removeprefix("CHORALE_").lower()) or ""
    listed = given if isinstance(given, list) else str(given).split(",")
    chosen = dict.fromkeys(_address(name, str(each).strip()) for each in listed if str(each).strip())
    if len(chosen) > MAX_ADDRESSES:
        raise NodeSettingsError(f"{name} names {len(chosen)} addresses; at most {MAX_ADDRESSES} are used.")
    return tuple(chosen)


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
