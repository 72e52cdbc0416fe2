"""Calls that one end wants elsewhere: REFER and INFO in, REFER out, and INVITEs that replace a call."""

from __future__ import annotations

import json

import pytest

from callrouter.ports import Ended, MediaChanged, ReferProgress, TransferRequested
from callrouter.sip.protocol.incoming import NewCall, Replaced
from callrouter.sip.protocol.message import Request, Response, parse
from tests.protocol.stranger import CONTACT, OFFER, Stranger, invite, reply, text
from tests.protocol.wire import MS, SECOND, Wire

TARGET = "module:acme.survey?lang=en"
REFER = (f"Refer-To: <{TARGET}>", CONTACT)
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


def test_a_refer_that_is_accepted_is_followed_by_notify_until_the_end() -> None:
    stranger = Stranger()
    tag = up(stranger)
    stranger.send(refer(tag, *REFER, TOKEN))
    transfers = stranger.calls[0].transfers
    transfers.settle(2, 202, stranger.now)
    accepted, trying = stranger.take()
    assert isinstance(accepted, Response)
    assert accepted.status == 202
    assert isinstance(trying, Request)
    assert (trying.method, trying.get("Event"), trying.body) == (
        "NOTIFY",
        "refer;id=2",
        b"SIP/2.0 100 Trying\r\n",
    )
    assert trying.get("Subscription-State") == "active;expires=60"
    transfers.conclude(2, 200, stranger.now)
    (done,) = stranger.take()
    assert (done.get("Subscription-State"), done.body) == (
        "terminated;reason=noresource",
        b"SIP/2.0 200 OK\r\n",
    )
    transfers.conclude(2, 200, stranger.now)
    assert not stranger.take()


def test_whoever_wants_no_notify_gets_none() -> None:
    stranger = Stranger()
    stranger.send(refer(up(stranger), *REFER, TOKEN, "Refer-Sub: false", "Require: norefersub"))
    stranger.calls[0].transfers.settle(2, 202, stranger.now)
    (accepted,) = stranger.take()
    assert (accepted.status, accepted.get("Refer-Sub")) == (202, "false")


def test_a_refused_one_is_answered_403_and_nothing_else() -> None:
    stranger = Stranger()
    stranger.send(refer(up(stranger), *REFER, TOKEN))
    stranger.calls[0].transfers.settle(2, 403, stranger.now)
    (refused,) = stranger.take()
    assert refused.status == 403


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


def test_nobody_can_be_handed_on_before_the_call_is_up() -> None:
    stranger = Stranger()
    stranger.send(invite())
    stranger.calls[0].ring(stranger.now)
    (ringing,) = stranger.take()
    stranger.events.clear()
    assert stranger.status(refer(ringing.to_tag, *REFER)) == 491
    assert not stranger.events


def test_an_info_without_a_token_asks_nobody() -> None:
    stranger = Stranger()
    assert stranger.status(info(up(stranger), {"target": TARGET, "token": ""})) == 403
    assert not stranger.events


def test_who_refuses_to_be_told_is_told_no_more() -> None:
    stranger = Stranger()
    stranger.send(refer(up(stranger), *REFER))
    transfers = stranger.calls[0].transfers
    transfers.settle(2, 202, stranger.now)
    _, trying = stranger.take()
    stranger.send(reply(trying, 481))
    transfers.conclude(2, 200, stranger.now)
    assert not stranger.take()


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
    (accepted,) = stranger.take()
    assert accepted.status == 200


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


# -- what we ask


def test_our_refer_is_told_how_far_it_got() -> None:
    wire = Wire()
    session, incoming = wire.established()
    session.transfers.refer("sip:carol@192.0.2.3", "", wire.now)
    wire.run(SECOND)
    (asked,) = wire.callee.told(TransferRequested)
    assert asked.target == "sip:carol@192.0.2.3"
    incoming.transfers.settle(asked.request, 403, wire.now)
    wire.run(SECOND)
    assert wire.caller.told(ReferProgress) == [ReferProgress(wire.caller.last.at_ns, 403, True)]
    sent = next(s.message for s in wire.seen if s.name == "REFER")
    assert (sent.get("Refer-To"), sent.get("Referred-By")) == (
        "<sip:carol@192.0.2.3>",
        "<sip:alice@192.0.2.1>",
    )
    incoming.hangup("", wire.now)
    wire.run(SECOND)
    wire.settle()


def referring(stranger: Stranger) -> tuple[str, Request]:
    tag = up(stranger)
    stranger.calls[0].transfers.refer("sip:carol@192.0.2.3", "", stranger.now)
    (sent,) = stranger.take()
    assert isinstance(sent, Request)
    stranger.send(reply(sent, 202))
    return tag, sent


def notify(tag: str, fragment: str, state: str, number: int) -> str:
    lines = ("Event: refer", f"Subscription-State: {state}", "Content-Type: message/sipfrag", CONTACT)
    return text(
        "NOTIFY", *lines, to_tag=tag, cseq=f"{number} NOTIFY", branch=f"z9hG4bKn{number}", body=fragment
    )


def test_progress_comes_by_notify() -> None:
    stranger = Stranger()
    tag, _ = referring(stranger)
    assert stranger.status(notify(tag, "SIP/2.0 180 Ringing", "active", 2)) == 200
    assert stranger.status(notify(tag, "SIP/2.0 200 OK\r\n", "terminated;reason=noresource", 3)) == 200
    told = [(e.status, e.is_final, e.by_notify) for e in stranger.events if isinstance(e, ReferProgress)]
    assert told == [(202, False, False), (180, False, True), (200, True, True)]
    assert stranger.status(notify(tag, "SIP/2.0 200 OK", "terminated", 4)) == 481


def test_a_subscription_that_ends_without_a_result_is_a_failure() -> None:
    stranger = Stranger()
    tag, _ = referring(stranger)
    stranger.send(notify(tag, "SIP/2.0 100 Trying", "terminated", 2))
    assert (stranger.events[-1].status, stranger.events[-1].is_final) == (503, True)


def test_a_notify_that_never_comes_is_not_waited_for_for_ever() -> None:
    stranger = Stranger()
    referring(stranger)
    stranger.run(181 * SECOND)
    assert (stranger.events[-1].status, stranger.events[-1].is_final) == (408, True)


@pytest.mark.parametrize("fragment", ["", "hello", "SIP/2.0 x", "SIP/2.0 999 No", "SIP/2.0 1000 No"])
def test_a_notify_that_cannot_be_read_is_refused(fragment: str) -> None:
    stranger = Stranger()
    tag, _ = referring(stranger)
    assert stranger.status(notify(tag, fragment, "active", 2)) == 400


def test_who_promises_no_notify_is_not_waited_for() -> None:
    stranger = Stranger()
    up(stranger)
    stranger.calls[0].transfers.refer("sip:carol@192.0.2.3", "", stranger.now)
    (sent,) = stranger.take()
    stranger.send(reply(sent, 202, "Refer-Sub: false"))
    assert stranger.events == [ReferProgress(stranger.now, 202, True)]


def test_one_refer_at_a_time_and_none_before_the_call_is_up() -> None:
    stranger = Stranger()
    stranger.send(invite())
    stranger.calls[0].transfers.refer("sip:carol@192.0.2.3", "", stranger.now)
    stranger.picks_up()
    for _ in range(2):
        stranger.calls[0].transfers.refer("sip:carol@192.0.2.3", "", stranger.now)
    (sent,) = stranger.take()
    assert sent.method == "REFER"
    told = [e.status for e in stranger.events if isinstance(e, ReferProgress)]
    assert told == [481, 491]


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
    ok, bye = stranger.take()
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
