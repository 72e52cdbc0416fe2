"""Secrets at rest: encrypted with AES-GCM, looked up by SHA-256, compared in constant time.

    stored = "v1:" base64url( nonce(12) ciphertext tag(16) )

What a secret belongs to (`account:AC…`, `module:acme.menu`) is authenticated with it, so a row's
secret cannot be put into another row.  The key is 32 bytes from the environment or from a file that
only the server's user can read; without it the stored secrets are worthless, also to the operator.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
from collections.abc import Mapping
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from callrouter.errors import StartupError

KEY_VARIABLE = "CALLROUTER_KEY"
KEY_FILE = "secret.key"
_VERSION = "v1:"
_NONCE = 12
_KEY = 32


class SecretBox:
    """Encrypts and decrypts with one key."""

    def __init__(self, key: bytes) -> None:
        if len(key) != _KEY:
            raise StartupError(f"the encryption key has {len(key)} bytes; expected {_KEY}")
        self._cipher = AESGCM(key)

    def seal(self, secret: str, *, belongs_to: str) -> str:
        """`secret` as it may be stored."""
        nonce = os.urandom(_NONCE)
        sealed = self._cipher.encrypt(nonce, secret.encode(), belongs_to.encode())
        return _VERSION + base64.urlsafe_b64encode(nonce + sealed).decode("ascii")

    def open(self, stored: str, *, belongs_to: str) -> str:
        """The secret of `seal`.  Raises `StartupError` when key, row or bytes are not the ones."""
        try:
            raw = base64.urlsafe_b64decode(stored.removeprefix(_VERSION))
            return self._cipher.decrypt(raw[:_NONCE], raw[_NONCE:], belongs_to.encode()).decode()
        except (InvalidTag, binascii.Error, ValueError):
            raise StartupError(
                f"the stored secret of {belongs_to} cannot be decrypted: it was stored with another key. "
                f"Restore the key file or {KEY_VARIABLE} that this database was used with"
            ) from None


def digest(secret: str) -> str:
    """SHA-256 in hex: what a secret is looked up by."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def matches(secret: str, expected_digest: str) -> bool:
    """Compare in a time that says nothing about how much of it was right, its length included."""
    return hmac.compare_digest(digest(secret).encode("ascii"), expected_digest.encode("utf-8", "replace"))


def load_key(data_dir: Path, environment: Mapping[str, str]) -> bytes:
    """The key from `CALLROUTER_KEY` (64 hex digits or base64 of 32 bytes), else from the key file
    in `data_dir`, which is made on first use.  Raises `StartupError` with the remedy."""
    if text := environment.get(KEY_VARIABLE, "").strip():
        return _decoded(text, f"environment variable {KEY_VARIABLE}")
    path = data_dir / KEY_FILE
    try:
        return _decoded(path.read_text("ascii").strip(), str(path))
    except FileNotFoundError:
        return _create(path)
    except (OSError, UnicodeDecodeError) as error:
        raise StartupError(
            f"the key file {path} cannot be read: {error}; make it readable or set {KEY_VARIABLE}"
        ) from None


def _create(path: Path) -> bytes:
    key = os.urandom(_KEY)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # 0600 from its first instant, and never over an existing key: that would lose every secret.
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(handle, "w", encoding="ascii") as file:
                file.write(key.hex() + "\n")
                file.flush()
                os.fsync(file.fileno())
        except OSError:
            path.unlink()  # half a key would be in the way of the next start
            raise
    except FileExistsError:
        raise StartupError(f"another process has just made {path}; start again") from None
    except OSError as error:
        raise StartupError(
            f"the key file {path} cannot be made: {error}; make its directory writable or set {KEY_VARIABLE}"
        ) from None
    return key


def _decoded(text: str, where: str) -> bytes:
    try:
        key = bytes.fromhex(text) if len(text) == 2 * _KEY else base64.b64decode(text, validate=True)
    except (ValueError, binascii.Error):
        key = b""
    if len(key) != _KEY:
        raise StartupError(f"{where} is no key; expected 64 hex digits or the base64 of 32 bytes")
    return key
