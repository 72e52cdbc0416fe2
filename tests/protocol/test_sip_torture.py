"""The torture messages of RFC 4475 and RFC 5118: the handling owed, and what the parser makes of them."""

from __future__ import annotations

import hashlib

import pytest

from callrouter.sip.protocol.framer import Framer
from callrouter.sip.protocol.headers.address import Address
from callrouter.sip.protocol.headers.via import Via
from callrouter.sip.protocol.message import Message, Request, Response, Unframeable, parse
from callrouter.sip.protocol.uri import Uri
from tests.protocol.registering import Office
from tests.protocol.stranger import Stranger
from tests.protocol.torture import DATA, RFC4475, RFC5118, Owed, read


def outcome(data: bytes, transport: str) -> str:
    stranger = Office(transport)
    if transport == "udp":
        words = [str(m.status) for m in stranger.send(data) if isinstance(m, Response)]
        return " ".join(words + ["call"] * len(stranger.calls)) or "silence"
    words = []
    framer = Framer()
    for message in framer.feed(data):
        stranger.agent.receive(message, stranger.hop, stranger.now)
        words += [str(m.status) for m in stranger.take() if isinstance(m, Response)]
    words += ["call"] * len(stranger.calls)
    if framer.broken:
        words.append("close")
    return " ".join(words) or ("waits" if framer.is_partial else "silence")


@pytest.mark.parametrize("transport", ["udp", "tcp"])
@pytest.mark.parametrize(("folder", "table"), [("rfc4475", RFC4475), ("rfc5118", RFC5118)])
def test_every_message_gets_what_it_is_owed(
    folder: str, table: dict[str, Owed], transport: str, capsys: pytest.CaptureFixture[str]
) -> None:
    got = {name: outcome(read(folder, name), transport) for name in table}
    wrong = {n: (g, table[n].over(transport)) for n, g in got.items() if g != table[n].over(transport)}
    with capsys.disabled():
        print(f"\n{folder} over {transport}: {len(table) - len(wrong)}/{len(table)}", end=" ")
    assert wrong == {}, "name: (got, owed)"


@pytest.mark.parametrize("folder", ["rfc4475", "rfc5118"])
def test_the_messages_are_bit_for_bit_those_of_the_manifest(folder: str) -> None:
    table = RFC4475 if folder == "rfc4475" else RFC5118
    rows = [r.split("\t") for r in (DATA / folder / "MANIFEST.tsv").read_text().splitlines()[1:]]
    assert {row[0] for row in rows} - {"test"} == set(table)
    for name, _section, size, digest, _expected in rows:
        data = read(folder, name)
        assert (len(data), hashlib.sha256(data).hexdigest()) == (int(size), digest), name


@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_the_fiftieth_message_is_harmless(transport: str) -> None:
    data = read("rfc4475", "test")
    with pytest.raises(Unframeable):
        parse(data) if transport == "udp" else Framer().feed(data)


def test_baddn_completed_is_refused_on_a_stream_too() -> None:
    assert outcome(read("rfc4475", "baddn").rstrip(b"\r\n") + b"\r\n\r\n", "tcp") == "400"


def message(name: str) -> Message:
    return parse(read("rfc4475", name))


def request(name: str) -> Request:
    parsed = message(name)
    assert isinstance(parsed, Request)
    assert parsed.flaw is None
    return parsed


def test_wsinv_white_space_folds_and_compact_names_are_seen_through() -> None:
    parsed = request("wsinv")
    assert parsed.cseq.number == 9
    assert parsed.to_tag == "1918181833n"
    assert parsed.from_tag == "98asjd8"
    assert Address.parse(parsed.get("From") or "").display_name == 'J Rosenberg \\"'
    assert parsed.via == Via("UDP", "192.0.2.2", None, (("branch", "390skdjuw"),))
    assert len(parsed.all("Via")) == 2
    assert parsed.get("NewFangledHeader") == "newfangled value continued newfangled value"
    assert parsed.get("UnknownHeaderWithUnusualValue") == ";;,,;;,;"
    assert Address.parse(parsed.get("Contact") or "").get("q") == "0.33"
    assert parsed.get("Subject") == ""


def test_intmeth_uses_all_characters_that_are_allowed() -> None:
    parsed = request("intmeth")
    assert parsed.method == "!interesting-Method0123456789_*+`.%indeed'~"
    uri = Uri.parse(parsed.uri)
    assert uri.user == "1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*"
    assert uri.password == "&it+has=1,weird!*pas$wo~d_too.(doesn't-it)"
    assert uri.host == "example.com"
    name = Address.parse(parsed.get("To") or "").display_name
    assert name == "BEL: NUL: DEL:"
    assert parsed.from_tag == "_token~1'+`*%!-."


def test_escapes_stay_distinct() -> None:
    uri = Uri.parse(request("esc01").uri)
    assert (uri.host, uri.user, uri.plain_user) == (
        "example.net",
        "sips%3Auser%40example.com",
        "sips:user@example.com",
    )
    contacts = request("escnull").all("Contact")
    assert [Address.parse(c).uri.user for c in contacts] == ["%00", "%00%00"]
    assert request("esc02").all("Contact") == [
        "<sip:alias1@host1.example.com>",
        "<sip:alias3@host3.example.com>",
    ]


def test_lwsdisp_needs_no_space_behind_the_name() -> None:
    assert Address.parse(request("lwsdisp").get("From") or "").display_name == "caller"


def test_longreq_is_read_whole() -> None:
    assert len(request("longreq").all("Via")) == 34


def test_semiuri_keeps_the_semicolon_in_the_user_part() -> None:
    assert Uri.parse(request("semiuri").uri).plain_user == "user;par=u@example.net"


def test_mpart01_keeps_the_binary_part() -> None:
    data = read("rfc4475", "mpart01")
    assert request("mpart01").body == data.partition(b"\r\n\r\n")[2]


def test_reasons_in_any_script_or_none() -> None:
    unreason, noreason = message("unreason"), message("noreason")
    assert isinstance(unreason, Response)
    assert isinstance(noreason, Response)
    assert unreason.reason.startswith("= 2**3 * 5**2")
    assert (noreason.status, noreason.reason) == (100, "")


def test_parameters_belong_to_the_header_without_brackets_and_to_the_uri_within() -> None:
    without = Address.parse(request("cparam01").get("Contact") or "")
    within = Address.parse(request("cparam02").get("Contact") or "")
    assert (without.parameters, without.uri.parameters) == ((("unknownparam", None),), ())
    assert (within.parameters, within.uri.parameters) == ((), (("unknownparam", None),))


def test_regescrt_keeps_the_escaped_route_in_the_uri() -> None:
    assert (
        Address.parse(request("regescrt").get("Contact") or "").uri.headers
        == "Route=%3Csip:sip.example.com%3E"
    )


def test_refusals_say_what_would_have_been_understood() -> None:
    for name, header, value in (
        ("bext01", "Unsupported", "nothingSupportsThis, nothingSupportsThisEither"),
        ("invut", "Accept", "application/sdp, multipart/mixed"),
        ("sdp01", "Accept", "application/sdp, multipart/mixed"),
        ("intmeth", "Allow", "INVITE, ACK, BYE, CANCEL, OPTIONS, INFO, UPDATE, PRACK, REFER, NOTIFY"),
    ):
        (refusal,) = Stranger().send(read("rfc4475", name))
        assert refusal.get(header) == value


def test_ipv6_addresses_are_read_with_their_ports() -> None:
    ambiguous = parse(read("rfc5118", "port-ambiguous"))
    clear = parse(read("rfc5118", "port-unambiguous"))
    assert isinstance(ambiguous, Request)
    assert isinstance(clear, Request)
    assert (Uri.parse(ambiguous.uri).host, Uri.parse(ambiguous.uri).port) == ("2001:db8::10:5070", None)
    assert (Uri.parse(clear.uri).host, Uri.parse(clear.uri).port) == ("2001:db8::10", 5070)
    bug = parse(read("rfc5118", "ipv6-bug-abnf-3-colons"))
    assert isinstance(bug, Request)
    assert str(Uri.parse(bug.uri)) == "sip:user@[2001:db8::192.0.2.1]"


def test_audio_and_video_may_have_addresses_of_different_families() -> None:
    stranger = Stranger()
    stranger.send(read("rfc5118", "mult-ip-in-sdp"))
    audio = stranger.calls[0].audio
    assert audio is not None
    assert (audio.remote.host, audio.remote.port) == ("192.0.2.1", 22334)
