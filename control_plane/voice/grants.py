"""Grants: what lets one user into one room of one media node, once (`proto.media.Claims`)."""

import os
from pathlib import Path
from typing import Self

import jwt
import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from proto.media import GRANT_ALGORITHM, Claims

KEY_FILE = "grants.pem"


class KeyUnusable(Exception):
    """One clear sentence for the operator."""


class Grants:
    """Signs grants with an Ed25519 key (RFC 8037). Nodes get `public_key` and check grants by themselves."""

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key

    @classmethod
    def open(cls, data_dir: Path) -> Self:
        """With the key in the data directory, made at the first start, readable by its owner only. Raises
        `KeyUnusable`."""
        path = data_dir / KEY_FILE
        data_dir.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            _make(path)
        try:
            key = load_pem_private_key(path.read_bytes(), password=None)
        except (OSError, ValueError) as wrong:
            sentence = f"{path} is not a key that can be read: {wrong}. Remove it to have a new one made."
            raise KeyUnusable(sentence) from None
        if not isinstance(key, Ed25519PrivateKey):
            raise KeyUnusable(f"{path} is not an Ed25519 key. Remove it to have a new one made.")
        return cls(key)

    @property
    def public_key(self) -> Ed25519PublicKey:
        return self._key.public_key()

    @property
    def public_pem(self) -> bytes:
        return self.public_key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)

    def issue(self, claims: Claims) -> str:
        return jwt.encode(msgspec.to_builtins(claims), self._key, algorithm=GRANT_ALGORITHM)


def _make(path: Path) -> None:
    """Writes a new key beside `path` and links it there, so that nobody ever reads half a key, nor two processes two
    keys."""
    pem = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    new = path.with_suffix(f".{os.getpid()}")
    with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(pem)
        file.flush()
        os.fsync(file.fileno())
    try:
        os.link(new, path)
    except FileExistsError:
        pass  # another process was first
    finally:
        new.unlink()
