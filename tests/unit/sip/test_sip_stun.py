"""STUN on the SIP port: the one question that is answered, and all that is not."""

from __future__ import annotations

import struct

from hypothesis import given
from hypothesis import strategies as st

from callrouter.sip.protocol.stun import answer, is_stun

TRANSACTION = bytes.fromhex("b7e7a701bc34d686fa87dfae")
REQUEST = struct.pack("!HHI", 1, 0, 0x2112A442) + TRANSACTION


def with_attributes(attributes: bytes) -> bytes:
    return struct.pack("!HHI", 1, len(attributes), 0x2112A442) + TRANSACTION + attributes


def test_a_binding_request_learns_the_address_it_came_from() -> None:
    """The figures are those of RFC 5769 §2.2 and §2.3."""
    v4 = answer(REQUEST, "192.0.2.1", 32853)
    assert v4[:8] == bytes.fromhex("0101000c2112a442")
    assert v4[8:20] == TRANSACTION
    assert v4[20:] == bytes.fromhex("002000080001a147e112a643")
    v6 = answer(REQUEST, "2001:db8:1234:5678:11:2233:4455:6677", 32853)
    assert v6[20:] == bytes.fromhex("002000140002a1470113a9faa5d3f179bc25f4b5bed2b9d9")


def test_optional_attributes_are_passed_over() -> None:
    software = struct.pack("!HH", 0x8022, 3) + b"abc\0"
    assert answer(with_attributes(software), "192.0.2.1", 1) != b""


def test_what_asks_for_more_or_is_broken_gets_no_answer() -> None:
    username = struct.pack("!HH", 0x0006, 4) + b"user"
    for data in (
        REQUEST[:19],
        REQUEST + b"\0",
        b"\0\2" + REQUEST[2:],
        REQUEST[:4] + b"\0\0\0\0" + REQUEST[8:],
        with_attributes(username),
        with_attributes(struct.pack("!HH", 0x8022, 9) + b"abc\0"),
        with_attributes(b"\x80\x22"),
        answer(REQUEST, "192.0.2.1", 1),
    ):
        assert answer(data, "192.0.2.1", 1) == b""


@given(st.binary(max_size=120), st.binary(max_size=40))
def test_no_octets_raise_and_an_answer_is_never_much_longer(data: bytes, attributes: bytes) -> None:
    for request in (data, with_attributes(attributes)):
        assert len(answer(request, "192.0.2.1", 5060)) <= len(request) + 12


def test_sip_is_not_mistaken_for_it() -> None:
    assert is_stun(REQUEST)
    assert not is_stun(b"OPTIONS sip:a SIP/2.0\r\n")
    assert not is_stun(b"\r\n\r\n")
    assert not is_stun(b"")
