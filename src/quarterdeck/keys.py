"""Sealing of secrets and signing of ledger heads.

The master key never enters the database it protects. Everything else secret is random and kept
wrapped by it (AES-256-GCM, NIST SP 800-38D, with the name as associated data), so a rotation of the
master key re-wraps a few rows and changes no payload hash and no signature.
"""

import hashlib
import hmac
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from quarterdeck.domain.errors import Corrupt, Invalid, Unavailable
from quarterdeck.sources import Dice

KEY_BYTES: Final = 32
_NONCE_BYTES: Final = 12


@dataclass(frozen=True, slots=True)
class SealingKey:
    """An AES-256-GCM key: seals bytes under a name, opens them only under the same name."""

    key: bytes = field(repr=False)
    dice: Dice = field(repr=False)

    def seal(self, name: str, plain: bytes) -> bytes:
        """Nonce and ciphertext; `name` must be given again to open it."""
        nonce = self.dice.bytes(_NONCE_BYTES)
        return nonce + AESGCM(self.key).encrypt(nonce, plain, name.encode())

    def open(self, name: str, sealed: bytes) -> bytes:
        """The plain bytes, or Corrupt when key, name or content do not fit."""
        try:
            return AESGCM(self.key).decrypt(
                sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], name.encode()
            )
        except InvalidTag as error:
            raise Corrupt(
                f"`{name}` cannot be opened with this key",
                hint="check that QUARTERDECK_KEY_FILE is the one this database was made with",
            ) from error


@dataclass(frozen=True, slots=True)
class Pseudonyms:
    """A keyed hash that stands in for a value: the same value, the same name, no way back."""

    key: bytes = field(repr=False)

    def of(self, kind: str, value: bytes) -> bytes:
        """A stand-in such as `[email:1f0c…]`; safe inside a JSON string."""
        digest = hmac.digest(self.key, kind.encode() + b"\0" + value, "sha256").hex()[:12]
        return f"[{kind}:{digest}]".encode()


@dataclass(frozen=True, slots=True)
class Signer:
    """An Ed25519 key that signs ledger heads (RFC 8032)."""

    private: Ed25519PrivateKey = field(repr=False)

    @classmethod
    def from_seed(cls, seed: bytes) -> "Signer":
        """The signer of a 32-byte seed."""
        return cls(Ed25519PrivateKey.from_private_bytes(seed))

    def sign(self, message: bytes) -> bytes:
        """A 64-byte signature."""
        return self.private.sign(message)

    def public(self) -> bytes:
        """The 32 bytes of the public key."""
        return self.private.public_key().public_bytes_raw()


def credential_hash(credential: str) -> bytes:
    """What is stored of a credential. It has 256 random bits: a plain hash cannot be searched."""
    return hashlib.sha256(credential.encode()).digest()


def open_master(path: Path, dice: Dice, *, is_known: bool) -> SealingKey:
    """The master key; a new one only where nothing `is_known` to be sealed by another."""
    if path.exists():
        return read_master(path, dice)
    if is_known:
        raise Unavailable(
            f"the master key `{path}` is missing",
            hint="put it back, or name it in QUARTERDECK_KEY_FILE: a new one opens nothing",
        )
    return make_master(path, dice)


def read_master(path: Path, dice: Dice) -> SealingKey:
    """Read the master key; refuse one that others can read."""
    try:
        mode = path.stat().st_mode & 0o077
        text = path.read_text(encoding="ascii").strip()
    except OSError as error:
        raise Unavailable(
            f"cannot read the master key `{path}`: {error.strerror}",
            hint="set QUARTERDECK_KEY_FILE to the file that holds it",
        ) from error
    if mode:
        raise Invalid(f"others can read the master key `{path}`", hint=f"run: chmod 600 {path}")
    try:
        key = bytes.fromhex(text)
    except ValueError as error:
        raise Invalid(f"`{path}` is not a master key", hint="it holds 64 hex digits") from error
    if len(key) != KEY_BYTES:
        raise Invalid(f"`{path}` is not a master key", hint="it holds 64 hex digits")
    return SealingKey(key, dice)


def make_master(path: Path, dice: Dice) -> SealingKey:
    """Make a new master key, mode 0600: whole or not at all, and never in the place of another."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(dice.bytes(KEY_BYTES).hex() + "\n")
            file.flush()
            os.fsync(file.fileno())
        os.link(draft, path)  # a rename would replace
    except OSError as error:
        raise Unavailable(
            f"cannot make the master key `{path}`: {error.strerror}",
            hint="see that its folder is writable and has free space",
        ) from error
    finally:
        draft.unlink(missing_ok=True)
    return read_master(path, dice)
