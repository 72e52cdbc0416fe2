"""Calls that one end wants elsewhere: REFER and INFO in, and INVITEs that replace a call."""

from __future__ import annotations

import json

import pytest

from callrouter.ports import Ended, MediaChanged, TransferRequested
from callrouter.sip.protocol.incoming import NewCall, Replaced
from callrouter.sip.protocol.message import Request, Response, parse
from callrouter.sip.protocol.timers import MS
from tests.narrowing import as_a, only
from tests.protocol.stranger import CONTACT, OFFER, Stranger, invite, text
from tests.protocol.wire import SECOND, Wire

TARGET = "module:acme.survey?lang=en"
REFER = (f"Refer-To: <{TARGET}>", CONTACT)
CAROL = "Refer-To: <sip:carol@192.0.2.9>"
TOKEN = "Callrouter-Token: t0ken"
INFO = "Content-Type: application/callrouter-transfer+json"


def up(stranger: Stranger) -> str:
    """Our tag in a call that is up."""
    stranger.send(invite())
    tag = stranger.picks_up().to_tag
    stranger.events.clear()
    return tag


def refer(tag: str, *lines: str, number: int = 2) -> str:
    return text("REFER", *lines, to_tag=tag, cseq=f"{number} REFER", branch=f"z9hG4bKr{number}")


def info(tag: str, body: object, number: int = 2) -> str:
    written = body if isinstance(body, str) else json.dumps(body)
    return text("INFO", INFO, to_tag=tag, cseq=f"{number} INFO", branch=f"z9hG4bKi{number}", body=written)


# -- what the far end asks


def test_a_refer_with_a_token_is_told_and_not_answered_before_it_is_judged() -> None:
    stranger = Stranger()
    tag = up(stranger)
    assert not stranger.send(refer(tag, *REFER, TOKEN))
    (asked,) = stranger.events
    assert asked == TransferRequested(stranger.now, 2, TARGET, "t0ken")


def test_a_refused_one_is_answered_403_and_nothing_else() -> None:
    stranger = Stranger()
    stranger.send(refer(up(stranger), *REFER, TOKEN))
    stranger.calls[0].transfers.settle(2, 403, stranger.now)
    assert only(Response, stranger.take()).status == 403


def test_a_refer_without_a_token_is_a_telephone_that_transfers_whom_it_talks_to() -> None:
    stranger = Stranger()
    target = "<sip:carol@192.0.2.9?Replaces=c%40d%3Bto-tag%3Da%3Bfrom-tag%3Db&Subject=x>"
    stranger.send(refer(up(stranger), f"Refer-To: {target}", "Referred-By: <sip:bob@192.0.2.2>", CONTACT))
    (asked,) = stranger.events
    assert asked == TransferRequested(
        stranger.now,
        2,
        "sip:carol@192.0.2.9",
        "",
        replaces="c@d;to-tag=a;from-tag=b",
        referred_by="<sip:bob@192.0.2.2>",
    )


def test_telephones_that_do_not_escape_the_at_of_a_call_id_are_understood() -> None:
    stranger = Stranger()
    stranger.send(
        refer(up(stranger), "Refer-To: <sip:c?d@192.0.2.9?Replaces=e@f%3Bto-tag%3Da%3Bfrom-tag%3Db>", CONTACT)
    )
    (asked,) = stranger.events
    assert isinstance(asked, TransferRequested)
    assert (asked.target, asked.replaces) == ("sip:c?d@192.0.2.9", "e@f;to-tag=a;from-tag=b")


def test_nobody_can_be_handed_on_before_the_call_is_up() -> None:
    stranger = Stranger()
    stranger.send(invite())
    stranger.calls[0].ring(stranger.now)
    (ringing,) = stranger.take()
    stranger.events.clear()
    assert stranger.status(refer(ringing.to_tag, CAROL, CONTACT)) == 491
    assert not stranger.events


def test_an_info_without_a_token_asks_nobody() -> None:
    stranger = Stranger()
    assert stranger.status(info(up(stranger), {"target": TARGET, "token": ""})) == 403
    assert not stranger.events


@pytest.mark.parametrize(
    "target",
    [
        "<sip:carol@192.0.2.9;method=BYE>",
        "<sip:carol@192.0.2.9?Replaces=nothing>",
        "<sip:carol@192.0.2.9>, <sip:dave@192.0.2.9>",
        "sip:carol@192.0.2.9?Replaces=a%3Bto-tag%3Db%3Bfrom-tag%3Dc",
    ],
)
def test_what_cannot_be_called_is_answered_400(target: str) -> None:
    stranger = Stranger()
    assert stranger.status(refer(up(stranger), f"Refer-To: {target}", CONTACT)) == 400
    assert not stranger.events


@pytest.mark.parametrize("uri", ["mailto:carol@example.com", "https://example.com/", TARGET])
def test_what_is_no_telephone_is_answered_416(uri: str) -> None:
    stranger = Stranger()
    assert stranger.status(refer(up(stranger), f"Refer-To: <{uri}>", CONTACT)) == 416
    assert not stranger.events


@pytest.mark.parametrize("lines", [(), ("Refer-To: <", TOKEN), (*REFER, REFER[0], TOKEN)])
def test_a_refer_that_says_nothing_clear_is_answered_400(lines: tuple[str, ...]) -> None:
    stranger = Stranger()
    assert stranger.status(refer(up(stranger), *lines)) == 400
    assert not stranger.events


def test_an_info_asks_the_same() -> None:
    stranger = Stranger()
    tag = up(stranger)
    assert not stranger.send(info(tag, {"target": TARGET, "token": "t0ken"}))
    assert stranger.events == [TransferRequested(stranger.now, 2, TARGET, "t0ken")]
    stranger.calls[0].transfers.settle(2, 202, stranger.now)
    assert only(Response, stranger.take()).status == 200


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ("", 400),
        ("{", 400),
        ("[]", 400),
        ("null", 400),
        ('{"target": 1, "token": "x"}', 400),
        ("[" * 3000, 400),
        ({"target": TARGET}, 403),
        ({"token": "x"}, 403),
        ({"target": "x" * 5000, "token": "x"}, 400),
    ],
)
def test_an_info_that_cannot_be_meant_moves_nothing(body: object, status: int) -> None:
    stranger = Stranger()
    assert stranger.status(info(up(stranger), body)) == status
    assert not stranger.events


def test_a_request_nobody_judges_is_refused_in_time() -> None:
    stranger = Stranger()
    stranger.send(refer(up(stranger), *REFER, TOKEN))
    refused = [m for m in stranger.run(31 * SECOND) if isinstance(m, Response)]
    assert [m.status for m in refused] == [403]


def test_two_requests_of_one_number_are_not_both_asked() -> None:
    stranger = Stranger()
    tag = up(stranger)
    stranger.send(refer(tag, *REFER, TOKEN))
    assert stranger.status(refer(tag, *REFER, TOKEN).replace("z9hG4bKr2", "z9hG4bKother")) == 500
    stranger.calls[0].transfers.settle(2, 403, stranger.now)
    stranger.calls[0].hangup("", stranger.now)
    stranger.run(200 * SECOND)
    assert stranger.agent.is_idle


def test_their_request_of_number_zero_is_not_taken_for_ours() -> None:
    """A far end that we called may number from zero."""
    wire = Wire()
    session, _ = wire.established()
    session.transfers.refer("sip:carol@192.0.2.3", "", wire.now)
    wire.run(SECOND)
    theirs = text(
        "REFER",
        *REFER,
        TOKEN,
        call_id=session.call_id,
        to_tag=session.local_tag,
        from_tag=session.established.remote_tag,
        cseq="0 REFER",
    )
    wire.inject(wire.caller, theirs.encode())
    asked = wire.caller.told(TransferRequested)
    session.hangup("", wire.now)
    wire.settle()
    assert len(asked) == 1


def test_the_end_of_the_call_is_the_end_of_the_matter() -> None:
    stranger = Stranger()
    tag = up(stranger)
    stranger.send(refer(tag, *REFER, TOKEN))
    sent = stranger.send(text("BYE", to_tag=tag, cseq="3 BYE", branch="z9hG4bKb"))
    assert [m.status for m in sent if isinstance(m, Response)] == [200, 487]

    stranger.run(40 * SECOND)
    assert stranger.agent.is_idle


@pytest.mark.parametrize("method", ["REFER", "NOTIFY"])
def test_outside_of_a_call_nothing_is_asked(method: str) -> None:
    assert Stranger().status(text(method, *REFER, TOKEN, "Event: refer")) == 481


# -- INVITE with Replaces


def replacing(tag: str, more: str = "", *, call_id: str = "c1", from_tag: str = "f1") -> str:
    line = f"Replaces: {call_id};to-tag={tag};from-tag={from_tag}{more}"
    body = OFFER.replace("6000", "6600")
    return invite(line, call_id="c2", from_tag="g1", branch="z9hG4bKnew", body=body)


def test_another_phone_takes_the_place_of_the_first_without_a_new_call() -> None:
    stranger = Stranger()
    tag = up(stranger)
    stranger.agent.receive(parse(replacing(tag).encode()), stranger.hop, stranger.now)
    events = [event for _, event in stranger.agent.events]
    assert not any(isinstance(e, NewCall) for e in events)
    (replaced,) = [e for e in events if isinstance(e, Replaced)]
    (changed,) = [e for e in events if isinstance(e, MediaChanged)]
    assert changed.audio.remote.port == 6600
    stranger.agent.events.clear()
    taken, left = stranger.take()
    ok, bye = as_a(Response, taken), as_a(Request, left)
    assert (ok.status, ok.call_id) == (200, "c2")
    assert b"m=audio 5000" in ok.body
    assert (bye.method, bye.call_id) == ("BYE", "c1")
    stranger.send(
        text("ACK", call_id="c2", from_tag="g1", to_tag=ok.to_tag, cseq="1 ACK", branch="z9hG4bKa2")
    )
    replaced.session.hangup("", stranger.now)
    (last,) = [m for m in stranger.take() if isinstance(m, Request)]
    assert (last.method, last.call_id) == ("BYE", "c2")
    assert not [e for e in stranger.events if isinstance(e, Ended)]


@pytest.mark.parametrize(
    ("more", "given", "status"),
    [
        ("", {"call_id": "other"}, 481),
        ("", {"from_tag": "other"}, 481),
        (";early-only", {}, 486),
        ("\r\nReplaces: c1;to-tag=a;from-tag=b", {}, 400),
    ],
)
def test_only_whoever_knows_the_dialog_may_take_its_place(
    more: str, given: dict[str, str], status: int
) -> None:
    stranger = Stranger()
    tag = up(stranger)
    assert stranger.status(replacing(tag, more, **given)) == status
    assert stranger.calls[0].is_up


def test_a_place_that_cannot_be_read_or_is_not_taken_is_refused() -> None:
    stranger = Stranger()
    assert stranger.status(replacing("nobody")) == 481
    assert stranger.status(invite("Replaces: c1", call_id="c3", branch="z9hG4bK3")) == 400


def test_a_call_that_still_rings_cannot_be_replaced_by_a_stranger() -> None:
    stranger = Stranger()
    stranger.send(invite())
    stranger.now += 10 * MS
    assert stranger.status(replacing(stranger.calls[0].local_tag)) == 481
