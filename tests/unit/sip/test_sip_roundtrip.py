"""Parse and write are inverse, datagram and stream agree, and no bytes make anything raise."""

from __future__ import annotations

import string

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from callrouter.sip.protocol import auth, offer, sdp
from callrouter.sip.protocol.framer import Framer
from callrouter.sip.protocol.grammar import quote, unquote
from callrouter.sip.protocol.headers.address import Address, tag_of
from callrouter.sip.protocol.headers.cseq import CSeq
from callrouter.sip.protocol.headers.via import Via
from callrouter.sip.protocol.message import Message, Request, Response, Unframeable, parse
from callrouter.sip.protocol.uri import Uri
from tests.protocol.stranger import OFFER, Stranger, invite, text
from tests.protocol.torture import RFC4475, RFC5118, read

EXAMPLES = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
MANY = settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])

tokens = st.text(string.ascii_letters + string.digits + "-.!%*_+`'~", min_size=1, max_size=12)
words = st.text(string.ascii_letters + string.digits + "-.", min_size=1, max_size=12)
ports = st.none() | st.integers(1, 65535)
hosts = (
    st.from_regex(r"[a-z0-9]([a-z0-9_.\-]{0,10}[a-z0-9])?", fullmatch=True)
    | st.ip_addresses(v=4).map(str)
    | st.ip_addresses(v=6).map(str)
)
quoted = st.text(st.characters(codec="utf-8", exclude_categories=["C"]), max_size=12).map(quote)
parameters = st.lists(st.tuples(tokens.map(str.lower), st.none() | words | quoted), max_size=4).map(tuple)
users = st.text(string.ascii_letters + string.digits + "-_.!~*'()&=+$,;?/#%", max_size=12)
uris = st.builds(
    lambda scheme, user, password, host, port, parameters, headers: Uri(
        scheme, user, password if user else None, host, port, parameters, headers
    ),
    st.sampled_from(["sip", "sips"]),
    users,
    st.none() | st.text(string.ascii_letters + string.digits + "&=+$,", max_size=8),
    hosts,
    ports,
    st.lists(st.tuples(tokens.map(str.lower), st.none() | words), max_size=3).map(tuple),
    st.just("") | st.from_regex(r"[a-z]{1,5}=[a-z0-9%]{0,8}", fullmatch=True),
)


@EXAMPLES
@given(uris)
def test_uris(uri: Uri) -> None:
    assert Uri.parse(str(uri)) == uri


@EXAMPLES
@given(uris, st.just("") | quoted, parameters)
def test_addresses(uri: Uri, name: str, values: tuple[tuple[str, str | None], ...]) -> None:
    address = Address(uri, name, values)
    assert Address.parse(str(address)) == address
    assert tag_of(str(address)) == address.tag


@EXAMPLES
@given(tokens.map(str.upper), hosts, ports, parameters)
def test_vias(
    transport: str, host: str, port: int | None, values: tuple[tuple[str, str | None], ...]
) -> None:
    via = Via(transport, host, port, values)
    assert Via.parse(str(via)) == via


@EXAMPLES
@given(st.integers(0, 2**32 - 1), tokens)
def test_cseqs(number: int, method: str) -> None:
    assert CSeq.parse(str(CSeq(number, method))) == CSeq(number, method)


@EXAMPLES
@given(st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), max_size=30))
def test_quoting(content: str) -> None:
    assert unquote(quote(content)) == content


names = st.sampled_from(["Via", "From", "X-Any", "Contact", "Subject", "Record-Route"]) | tokens.filter(
    lambda t: t.lower() not in ("l", "content-length")
)


def header_text(raw: bytes) -> str:
    """As the parser would have made it: bytes that are no UTF-8 as surrogates, no controls."""
    raw = bytes(b for b in raw if b >= 32 and b != 127)
    return raw.decode("utf-8", "surrogateescape").strip(" ")


values = st.binary(max_size=40).map(header_text)
fields = st.lists(st.tuples(names, values), max_size=8)


def same(a: Message, b: Message) -> bool:
    return (a.fields, a.body, a.flaw) == (b.fields, b.body, b.flaw)


@MANY
@given(tokens, words, fields, st.binary(max_size=200))
def test_requests(method: str, uri: str, lines: list[tuple[str, str]], body: bytes) -> None:
    once = parse(bytes(Request(method, uri, lines, body)))
    again = parse(bytes(once))
    assert isinstance(once, Request)
    assert (once.method, once.uri, once.body) == (method, uri, body)
    assert [value for _, value in once.fields[:-1]] == [value for _, value in lines]
    assert same(once, again)


@EXAMPLES
@given(st.integers(100, 699), words, fields, st.binary(max_size=200))
def test_responses(status: int, reason: str, lines: list[tuple[str, str]], body: bytes) -> None:
    once = parse(bytes(Response(status, reason, lines, body)))
    assert isinstance(once, Response)
    assert (once.status, once.reason) == (status, reason)
    assert same(once, parse(bytes(once)))


STREAMS = [
    *(read("rfc4475", name) for name, owed in RFC4475.items() if owed.over("tcp")[:3].isdigit()),
    *(read("rfc5118", name) for name in RFC5118),
    invite().encode(),
    text("OPTIONS").encode() + invite().encode() + b"\r\n\r\n" + text("BYE").encode(),
]


def fed(pieces: list[bytes]) -> tuple[list[tuple[object, ...]], bool]:
    framer = Framer()
    out: list[tuple[object, ...]] = []
    try:
        for piece in pieces:
            out += [(type(m), m.fields, m.body, m.flaw) for m in framer.feed(piece)]
    except Unframeable:
        pass
    return out, framer.broken


@pytest.mark.parametrize("index", range(len(STREAMS)))
def test_a_stream_cut_at_every_byte_reads_the_same(index: int) -> None:
    data = STREAMS[index]
    whole = fed([data])
    assert fed([data[i : i + 1] for i in range(len(data))]) == whole
    step = max(1, len(data) // 200)
    for cut in range(0, len(data), step):
        assert fed([data[:cut], data[cut:]]) == whole


@pytest.mark.parametrize("index", range(len(STREAMS)))
def test_datagram_and_stream_agree_on_the_first_message(index: int) -> None:
    data = STREAMS[index]
    (kind, lines, body, flaw), *_ = fed([data])[0]
    alone = parse(data)
    assert (type(alone), alone.fields) == (kind, lines)
    if flaw is None:
        assert (alone.flaw, alone.body) == (None, body)
    else:
        assert alone.flaw is not None or alone.length is None


@pytest.mark.parametrize("good", [invite(), text("OPTIONS"), text("REGISTER")])
def test_a_truncated_message_is_refused_or_dropped_and_never_half_a_call(good: str) -> None:
    data = good.encode()
    for cut in range(len(data)):
        stranger = Stranger()
        sent = stranger.send(data[:cut])
        assert all(isinstance(m, Response) and m.status == 400 for m in sent)
        assert stranger.calls == []


CORPUS = [
    *(read("rfc4475", name) for name in RFC4475),
    *(read("rfc5118", name) for name in RFC5118),
    invite().encode(),
    invite(to_tag="x").encode(),
    text("CANCEL").encode(),
    text("INFO", "Content-Type: application/dtmf", body="5", to_tag="a").encode(),
]
SPICE = [b"\r\n", b"9" * 20, b"\xff", *(bytes([c]) for c in b'\r\n\0"<>;,@%\\ :=?')]


@st.composite
def mutants(draw: st.DrawFn) -> bytes:
    data = bytearray(draw(st.sampled_from(CORPUS)))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, max(0, len(data) - 1)))
        kind = draw(st.integers(0, 3))
        if kind == 0:
            del data[at : at + draw(st.integers(1, 20))]
        elif kind == 1:
            data[at:at] = draw(st.sampled_from(SPICE))
        elif kind == 2:
            data[at : at + 1] = draw(st.binary(min_size=1, max_size=3))
        else:
            other = draw(st.sampled_from(CORPUS))
            start = draw(st.integers(0, len(other)))
            data[at:at] = other[start : start + draw(st.integers(1, 60))]
    return bytes(data)


@settings(max_examples=1500, deadline=None, suppress_health_check=list(HealthCheck))
@given(mutants())
def test_mutated_messages_never_raise(data: bytes) -> None:
    stranger = Stranger()
    for message in stranger.send(data):
        assert message.flaw is None, bytes(message)
    for session in stranger.calls:
        session.ring(stranger.now)
        session.hangup("", stranger.now)
    assert all(m.flaw is None for m in stranger.take())
    fed([data])


@EXAMPLES
@given(st.binary(max_size=300))
def test_random_bytes_never_raise(data: bytes) -> None:
    Stranger().send(data)
    fed([data, data])


@EXAMPLES
@given(st.lists(st.binary(max_size=40), max_size=10))
def test_random_sdp_is_read_or_refused(lines: list[bytes]) -> None:
    for body in (b"\n".join(lines), b"v=0\r\n" + b"\r\n".join(lines), OFFER.encode() + b"\n".join(lines)):
        try:
            offer.agree(sdp.parse(body))
        except ValueError:
            continue


@EXAMPLES
@given(st.text(max_size=80))
def test_random_challenges_are_read_or_refused(content: str) -> None:
    auth.strongest([content, f"Digest {content}", f'Digest realm="a", nonce="b", {content}'])
