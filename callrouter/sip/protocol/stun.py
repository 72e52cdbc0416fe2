"""Keep-alives of phones behind NAT: STUN Binding requests on the SIP port (RFC 5626 §4.4.2, RFC 8489).

A phone learns from the answer which address it is seen at, and so whether its NAT still knows the
way.  Anything else that STUN can do is not for here and gets no answer, nor does a forger gain by
one: it is hardly longer than the question.
"""

from __future__ import annotations

import ipaddress
import struct

_COOKIE = 0x2112A442
_BINDING_REQUEST = 0x0001
_BINDING_SUCCESS = 0x0101
_XOR_MAPPED_ADDRESS = 0x0020
_OPTIONAL_FROM = 0x8000
"""Attributes from here on may be ignored by who does not know them."""
_HEAD = struct.Struct("!HHI12s")
_MAX_LENGTH = 576


def is_stun(data: bytes) -> bool:
    """No SIP message begins with one of these octets."""
    return data[:1] in (b"\0", b"\1")


def answer(data: bytes, host: str, port: int) -> bytes:
    """What the sender at `host` (an IP literal) and `port` is owed; b"" = nothing."""
    if not _HEAD.size <= len(data) <= _MAX_LENGTH:
        return b""
    kind, length, cookie, transaction = _HEAD.unpack_from(data)
    if kind != _BINDING_REQUEST or cookie != _COOKIE or length != len(data) - _HEAD.size:
        return b""
    if not _is_plain(data[_HEAD.size :]):
        return b""
    address = ipaddress.ip_address(host.partition("%")[0]).packed
    mask = struct.pack("!I", cookie) + transaction
    hidden = bytes(a ^ b for a, b in zip(address, mask, strict=False))
    family = 1 if len(address) == 4 else 2
    value = struct.pack("!BBH", 0, family, port ^ (cookie >> 16)) + hidden
    attribute = struct.pack("!HH", _XOR_MAPPED_ADDRESS, len(value)) + value
    return _HEAD.pack(_BINDING_SUCCESS, len(attribute), cookie, transaction) + attribute


def _is_plain(attributes: bytes) -> bool:
    """Well formed, and nothing in it has to be understood: no credentials, no change of address."""
    while attributes:
        if len(attributes) < 4:
            return False
        kind, length = struct.unpack_from("!HH", attributes)
        padded = 4 + (length + 3) // 4 * 4
        if kind < _OPTIONAL_FROM or padded > len(attributes):
            return False
        attributes = attributes[padded:]
    return True
