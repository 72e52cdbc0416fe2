"""The readers of single header fields under the fuzzer: a value they accept is written as one that
reads the same, and nothing but `ValueError` comes of any other."""

from __future__ import annotations

from collections.abc import Callable

from callrouter.sip.protocol import auth, dtmf_info
from callrouter.sip.protocol.grammar import displayable, quote, split, unquote
from callrouter.sip.protocol.headers.address import Address, parse_list, tag_of
from callrouter.sip.protocol.headers.cseq import CSeq
from callrouter.sip.protocol.headers.reason import Reason
from callrouter.sip.protocol.headers.replaces import Replaces
from callrouter.sip.protocol.headers.via import Via, stamp
from callrouter.sip.protocol.message import Request
from callrouter.sip.protocol.session_timer import interval_of, least
from callrouter.sip.protocol.uri import Uri


def header(data: bytes) -> None:
    """The first octet chooses the reader, the rest is the value."""
    readers = tuple(_READERS.values())
    if data:
        text = data[1:].decode("utf-8", "surrogateescape")
        readers[data[0] % len(readers)](text)


def _address(text: str) -> None:
    tag_of(text)
    try:
        read = Address.parse(text)
    except ValueError:
        return
    assert Address.parse(str(read)) == read
    assert displayable(read.display_name) == read.display_name
    assert tag_of(str(read)) == read.tag


def _addresses(text: str) -> None:
    try:
        read = parse_list(text)
    except ValueError:
        return
    assert parse_list(", ".join(map(str, read))) == read


def _uri(text: str) -> None:
    try:
        read = Uri.parse(text)
    except ValueError:
        return
    assert Uri.parse(str(read)) == read
    assert displayable(read.plain_user) == read.plain_user
    assert read.transport == read.transport.lower()


def _via(text: str) -> None:
    try:
        read = Via.parse(text)
    except ValueError:
        return
    assert Via.parse(str(read)) == read
    stamped = Via.parse(stamp(text, read, "192.0.2.7", 5062))
    assert (stamped.host, stamped.branch) == (read.host, read.branch)
    if read.get("rport") is not None:
        assert (stamped.get("rport"), stamped.get("received")) == ("5062", "192.0.2.7")


def _reason(text: str) -> None:
    for part in _parts(text):
        try:
            read = Reason.parse(part)
        except ValueError:
            continue
        assert displayable(read.text) == read.text
        assert 0 <= read.cause <= 999


def _replaces(text: str) -> None:
    try:
        read = Replaces.parse(text)
    except ValueError:
        return
    assert Replaces.parse(str(read)) == read


def _cseq(text: str) -> None:
    try:
        read = CSeq.parse(text)
    except ValueError:
        return
    assert CSeq.parse(str(read)) == read
    assert 0 <= read.number < 2**32


def _intervals(text: str) -> None:
    request = Request("INVITE", "sip:a@b", [("Session-Expires", text), ("Min-SE", text)])
    read = interval_of(request)
    assert read is None or 0 <= read.seconds < 2**32
    assert least(request) >= 90


def _digit(text: str) -> None:
    for kind in dtmf_info.TYPES:
        try:
            digit, ms = dtmf_info.read(kind, text.encode("utf-8", "surrogateescape"))
        except ValueError:
            continue
        assert digit in "0123456789*#ABCD"
        assert 0 < ms <= 10_000


def _quoted(text: str) -> None:
    assert "\r" not in quote(text)
    written = quote(displayable(text))
    assert unquote(written) == displayable(text)
    assert "".join(_parts(written)) == written
    auth.strongest([text])


def _parts(text: str) -> list[str]:
    try:
        parts = split(text, ",")
    except ValueError:
        return []
    assert ",".join(parts) == text
    return parts


_READERS: dict[str, Callable[[str], None]] = {
    "address": _address,
    "addresses": _addresses,
    "uri": _uri,
    "via": _via,
    "reason": _reason,
    "replaces": _replaces,
    "cseq": _cseq,
    "intervals": _intervals,
    "digit": _digit,
    "quoted": _quoted,
}
