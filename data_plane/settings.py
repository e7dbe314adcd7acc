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
FILE_KEYS = ("media_addresses", "media_port")


class NodeSettingsError(Exception):
    """One clear sentence for the operator."""


@dataclass(frozen=True, slots=True)
class NodeSettings:
    addresses: tuple[str, ...]  # one UDP socket each; clients are offered all of them
    port: int = 0  # 0: any free one


def interface_addresses() -> list[str]:
    """The IPv4 addresses of this machine that others can reach, in the order of its interfaces."""
    found = [str(ip.ip) for adapter in ifaddr.get_adapters() for ip in adapter.ips if ip.is_IPv4]
    return [each for each in found if not (ip_address(each).is_loopback or ip_address(each).is_link_local)]


def load_node_settings(environ: Mapping[str, str]) -> NodeSettings:
    """Without a setting: loopback, for a browser on this machine, and every interface. Raises `NodeSettingsError`."""
    file = _file(environ)
    addresses = environ.get("CHORALE_MEDIA_ADDRESSES") or file.get("media_addresses") or ""
    port = environ.get("CHORALE_MEDIA_PORT") or file.get("media_port") or 0
    listed = addresses.split(",") if isinstance(addresses, str) else addresses
    given = [str(each).strip() for each in listed if str(each).strip()] if isinstance(listed, list) else [str(listed)]
    chosen = given or ["127.0.0.1", *interface_addresses()]
    for address in chosen:
        _check(address)
    if not str(port).isdecimal() or int(port) > 65535:
        raise NodeSettingsError(f"CHORALE_MEDIA_PORT is {port!r}, which is not a port from 0 to 65535.")
    return NodeSettings(tuple(dict.fromkeys(chosen))[:MAX_ADDRESSES], int(port))


def _check(address: str) -> None:
    try:
        ip = ip_address(address)
    except ValueError:
        raise NodeSettingsError(f"CHORALE_MEDIA_ADDRESSES names {address!r}, which is not an IP address.") from None
    if ip.is_unspecified:
        raise NodeSettingsError(
            f"CHORALE_MEDIA_ADDRESSES names {address}, which no client can send to: name this machine's own addresses."
        )


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
