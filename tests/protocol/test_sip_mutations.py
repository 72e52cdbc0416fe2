"""Thousands of broken messages, against the core over datagrams and against the reader of streams.

`make trials` takes ever new ones for as long as it is told to.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FrameType

import pytest
import sipmessage

from callrouter.sip.protocol.framer import Framer
from callrouter.sip.protocol.message import Message, Request, Response, Unframeable, parse
from tests.protocol.mutations import mutants, originals
from tests.protocol.registering import Office
from tests.protocol.stranger import Stranger
from tests.protocol.wire import SECOND

EACH = 30
OURS = frozenset(
    {"Via", "From", "To", "Call-ID", "CSeq", "Contact", "Allow", "Accept", "Accept-Encoding", "Supported"}
    | {"Unsupported", "Require", "RSeq", "Record-Route", "User-Agent", "WWW-Authenticate", "Content-Type"}
    | {"Content-Length", "Session-Expires", "Min-SE", "Min-Expires", "Retry-After", "Allow-Events", "Path"}
    | {"Warning"}
)
"""What our answers may consist of."""


def parsed(data: bytes) -> Request | Response | None:
    try:
        return parse(data)
    except Unframeable:
        return None


@pytest.mark.parametrize("seed", range(2))
def test_no_mutant_upsets_the_core(seed: int) -> None:
    for name, data in mutants(seed, EACH):
        try:
            undisturbed(data)
        except Exception as error:
            raise AssertionError(f"{name}\n{data!r}") from error


def undisturbed(data: bytes) -> None:
    """What must hold whatever a datagram is."""
    office = Office()
    message = parsed(data.lstrip(b"\r\n"))
    answers = office.send(data.lstrip(b"\r\n"))
    if not isinstance(message, Request):
        assert not answers, "only requests are answered"
        return
    for answer in answers:
        assert isinstance(answer, Response)
        answered(message, answer)
    if message.method == "ACK":
        assert not answers, "nobody answers an ACK"
    for session in office.calls:
        session.ring(office.now)
        session.hangup("", office.now)
    finals = [m for m in (*answers, *office.take()) if isinstance(m, Response) and m.status >= 200]
    assert len(finals) <= 1, finals
    again = office.send(data.lstrip(b"\r\n"))
    assert [bytes(m) for m in again] == [bytes(m) for m in finals], "a repetition gets the same answer"
    office.run(400 * SECOND)
    assert office.agent.is_idle


def answered(request: Request, answer: Response) -> None:
    """The answer is one to this request, and nothing of the request has become a line of its own."""
    assert answer.flaw is None
    assert {name for name, _ in answer.fields} <= OURS
    assert answer.all("Call-ID") == [request.call_id]
    assert answer.all("CSeq") == [request.get("CSeq") or ""]
    assert answer.all("From") == [request.get("From") or ""]
    assert (answer.get("To") or "").startswith(request.get("To") or "")
    assert len(answer.all("Via")) == len(request.all("Via"))
    assert list(answer.all("Via"))[1:] == list(request.all("Via"))[1:]
    reads_the_same(request, answer)


def _hosts(text: str) -> object:
    return [(via.transport.upper(), via.host, via.port) for via in sipmessage.Via.parse_many(text)]


READERS: tuple[tuple[str, Callable[[str], object]], ...] = (
    ("From", sipmessage.Address.parse),
    ("CSeq", sipmessage.CSeq.parse),
    ("Via", _hosts),
)


def reads_the_same(request: Request, answer: Response) -> None:
    """To software of others too: what it could read in the request, it reads in the answer."""
    try:
        theirs = sipmessage.Message.parse(bytes(answer))
    except UnicodeDecodeError:
        return  # Latin-1 of the request, given back as it came
    assert isinstance(theirs, sipmessage.Response)
    assert theirs.code == answer.status
    for name, read in READERS:
        sent = understood(read, request.get(name) or "")
        if sent is not None and not request.flaw:
            assert understood(read, theirs.headers.get(name) or "") == sent, name


def understood(read: Callable[[str], object], text: str) -> object:
    try:
        return read(text)
    except Exception:  # noqa: BLE001 - whatever the other reader raises, it has no opinion then
        return None


@pytest.mark.parametrize("seed", range(2, 4))
def test_stream_and_datagram_read_every_mutant_alike(seed: int) -> None:
    for name, data in mutants(seed, EACH):
        try:
            read_alike(data)
        except Exception as error:
            raise AssertionError(f"{name}\n{data!r}") from error


def read_alike(data: bytes) -> None:
    """A stream gives the messages that datagrams would be, however it is cut."""
    whole = framed([data])
    for size in (1, 7, 64):
        assert framed([data[i : i + size] for i in range(0, len(data), size)]) == whole
    messages, is_broken = whole
    first = parsed(data.lstrip(b"\r\n"))
    if not messages:
        return
    content, flaw = messages[0]
    assert first is not None, "only the stream made a message of it"
    if flaw is None:
        assert first.flaw is None, first.flaw
        assert content == contents(first)
    elif not is_broken:
        assert first.flaw is not None
    if first.flaw is not None and first.flaw.fatal:
        assert is_broken, "what follows a message without an end is no message"


def contents(message: Message) -> object:
    start = message.method if isinstance(message, Request) else str(message)
    return start, tuple(message.fields), message.body


def framed(pieces: list[bytes]) -> tuple[list[tuple[object, object]], bool]:
    reader = Framer()
    found: list[tuple[object, object]] = []
    for piece in pieces:
        try:
            found += [(contents(m), m.flaw) for m in reader.feed(piece)]
        except Unframeable:
            break
    return found, reader.broken


def test_no_mutant_takes_more_steps_than_its_length_allows() -> None:
    """Calls are counted, not seconds: what a message of a few hundred octets sets in motion is bounded
    by its length, however it is built."""
    plain = max(steps(data) for data in originals().values())
    for name, data in mutants(4, 10):
        assert steps(data) <= 2 * plain + 4 * len(data), name


def steps(data: bytes) -> int:
    """Functions called for a datagram, Python's own included."""
    stranger = Stranger()
    count = 0

    def profile(_frame: FrameType, event: str, _argument: object) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(profile)
    try:
        stranger.send(data)
    finally:
        sys.setprofile(None)
    return count
