"""What passes for a grant."""

import time
from typing import Any

import jwt
import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric import ed448
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from data_plane.grants import BadGrant, verify
from proto.media import GRANT_SECONDS, Claims
from tests.data_plane.support import NODE_ID, claims, sign

KEY = Ed25519PrivateKey.generate()
NOW = int(time.time())


def check(token: str) -> Claims:
    return verify(token, key=KEY.public_key(), node_id=NODE_ID)


def code(token: str) -> str:
    with pytest.raises(BadGrant) as refused:
        check(token)
    return refused.value.code


def payload(**changes: Any) -> dict[str, Any]:
    return {**msgspec.to_builtins(claims()), **changes}


def test_a_grant_says_who_may_go_where() -> None:
    given = claims()
    assert check(sign(given, KEY)) == given


def test_expired_is_not_the_same_as_bad() -> None:
    late = claims(iat=NOW - GRANT_SECONDS - 5, exp=NOW - 5)
    assert code(sign(late, KEY)) == "expired_grant"
    assert code(sign(late, Ed25519PrivateKey.generate())) == "bad_grant"


def test_a_grant_for_another_node_is_not_for_this_one() -> None:
    assert code(sign(claims(aud="another"), KEY)) == "wrong_node"
    assert code(sign(payload(aud=[NODE_ID, "another"]), KEY)) == "bad_grant"


@pytest.mark.parametrize("name", ["aud", "sub", "room", "sid", "jti", "iat", "exp"])
def test_every_claim_is_needed(name: str) -> None:
    lacking = payload()
    del lacking[name]
    assert code(sign(lacking, KEY)) in ("bad_grant", "wrong_node")


@pytest.mark.parametrize(
    "changes",
    [
        {"sub": "somebody"},
        {"room": 7},
        {"sid": None},
        {"jti": 1},
        {"exp": NOW + 3600},
        {"iat": NOW - 600, "exp": NOW + 600},
        {"iat": NOW + 600, "exp": NOW + 660},
        {"nbf": NOW + 600},
        {"exp": "soon"},
        {"iat": NOW + 0.5},
    ],
    ids=str,
)
def test_a_claim_must_make_sense(changes: dict[str, Any]) -> None:
    assert code(sign(payload(**changes), KEY)) == "bad_grant"


def test_only_the_algorithm_of_grants_will_do() -> None:
    public = KEY.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    assert code(jwt.encode(payload(), public, algorithm="HS256")) == "bad_grant"
    assert code(jwt.encode(payload(), "", algorithm="none")) == "bad_grant"
    assert code(jwt.encode(payload(), ed448.Ed448PrivateKey.generate(), algorithm="EdDSA")) == "bad_grant"


def test_a_grant_that_was_altered_is_bad() -> None:
    head, body, signature = sign(claims(), KEY).split(".")
    other = sign(claims(), KEY).split(".")[1]
    for token in (
        f"{head}.{other}.{signature}",
        f"{head}.{body}.",
        f"{head}.{body}",
        f"{head}..{signature}",
        "",
        "...",
    ):
        assert code(token) == "bad_grant"


def test_a_grant_too_long_is_not_looked_at() -> None:
    assert code(sign(payload(more="x" * 5000), KEY)) == "bad_grant"


@given(st.text(max_size=300))
def test_no_text_is_a_grant(text: str) -> None:
    assert code(text) == "bad_grant"


@given(st.tuples(st.binary(max_size=60), st.binary(max_size=60), st.binary(max_size=60)))
def test_no_bytes_in_the_shape_of_a_grant_do_harm(parts: tuple[bytes, bytes, bytes]) -> None:
    assert code(".".join(jwt.utils.base64url_encode(part).decode() for part in parts)) == "bad_grant"
