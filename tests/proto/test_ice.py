"""URLs of STUN and TURN servers, and the credentials that coturn computes too."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from proto.ice import IceConfig, is_stun_url, is_turn_url, turn_credential

SESSION = UUID("01890000-0000-8000-8000-000000000000")
NOW = datetime(2030, 1, 1, tzinfo=UTC)


def test_the_credential_is_what_the_draft_says() -> None:
    """The same by: printf 1893542400:somebody | openssl dgst -sha1 -hmac north -binary | base64."""
    assert turn_credential(b"north", "1893542400:somebody") == "kwaGnRtExywS3gdxAHpVZ+TGx9E="


def test_servers_are_told_with_credentials_that_end() -> None:
    ice = IceConfig(["stun:a"], ["turn:b", "turns:b"], b"north", timedelta(hours=24))
    stun, turn = ice.servers(SESSION, NOW)
    assert (stun.urls, stun.username) == (["stun:a"], None)
    assert turn.username == f"{int(NOW.timestamp()) + 86400}:{SESSION}"
    assert turn.credential == turn_credential(b"north", turn.username)


def test_without_servers_nothing_is_told() -> None:
    assert IceConfig().servers(SESSION, NOW) == []


def test_the_secret_is_not_shown() -> None:
    assert "north" not in repr(IceConfig([], ["turn:b"], b"north"))


@pytest.mark.parametrize(
    "url",
    ["turn:example.org", "turn:192.0.2.1:3478", "turns:turn.example.org:443?transport=tcp", "turn:[2001:db8::1]:3478"],
)
def test_a_turn_url(url: str) -> None:
    assert is_turn_url(url)
    assert not is_stun_url(url)


@pytest.mark.parametrize("url", ["stun:example.org", "stun:192.0.2.1:19302", "stuns:[::1]"])
def test_a_stun_url(url: str) -> None:
    assert is_stun_url(url)
    assert not is_turn_url(url)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "turn:",
        "example.org",
        "turn://example.org",
        "turn:user@example.org",
        "turn:example.org:0",
        "turn:example.org:65536",
        "turn:example.org?transport=sctp",
        "turn:example.org?transport=udp&x",
        "turn:[2001:db8]",
        "turn:2001:db8::1",
        'turn:a>; rel="x',
        "turn:a b",
        "turn:a\nb",
        "turn:-a",
    ],
)
def test_what_is_no_url(url: str) -> None:
    assert not is_turn_url(url)
    assert not is_stun_url(url.replace("turn", "stun") + "?transport=udp")
