"""Calls that one end wants elsewhere: REFER and INFO in."""

from __future__ import annotations

import json

import pytest

from callrouter.ports import TransferRequested
from callrouter.sip.protocol.message import Response
from tests.narrowing import only
from tests.protocol.stranger import CONTACT, Stranger, invite, text
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
    assert not asked.early_only


def test_a_telephone_may_want_a_call_only_while_it_rings() -> None:
    stranger = Stranger()
    replaces = "c%3Bto-tag%3Da%3Bearly-only%3Bfrom-tag%3Db"
    stranger.send(refer(up(stranger), f"Refer-To: <sip:carol@192.0.2.9?Replaces={replaces}>", CONTACT))
    (asked,) = stranger.events
    assert isinstance(asked, TransferRequested)
    assert asked.early_only


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
