"""Our own REFER: who is asked, what it takes to be heard, and how far the far end gets with it."""

from __future__ import annotations

import pytest

from callrouter.ports import ReferProgress, TransferRequested
from callrouter.sip.protocol.auth import Credentials
from callrouter.sip.protocol.message import Request
from callrouter.sip.protocol.proof import MOST
from tests.narrowing import only
from tests.protocol.stranger import ANSWER, CONTACT, OFFER, Stranger, invite, reply, text
from tests.protocol.test_sip_dialog import placed
from tests.protocol.test_sip_proof import CHALLENGE
from tests.protocol.test_sip_transfer import up
from tests.protocol.wire import SECOND, Wire


def test_our_refer_is_told_how_far_it_got() -> None:
    wire = Wire()
    session, incoming = wire.established()
    session.transfers.refer("sip:carol@192.0.2.3", "", wire.now)
    wire.run(SECOND)
    (asked,) = wire.callee.told(TransferRequested)
    assert asked.target == "sip:carol@192.0.2.3"
    incoming.transfers.settle(asked.request, 403, wire.now)
    wire.run(SECOND)
    assert wire.caller.told(ReferProgress) == [
        ReferProgress(wire.caller.last(ReferProgress).at_ns, 403, True)
    ]
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


def progress(stranger: Stranger) -> tuple[int, bool]:
    told = stranger.told_last(ReferProgress)
    return told.status, told.is_final


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
    assert progress(stranger) == (503, True)


@pytest.mark.parametrize(
    ("state", "seconds"),
    [(None, 180), ("active", 180), ("active;expires=600", 600), ("active;expires=99999", 900)],
)
def test_the_end_is_not_waited_for_for_ever(state: str | None, seconds: int) -> None:
    stranger = Stranger()
    tag, _ = referring(stranger)
    if state:
        stranger.send(notify(tag, "SIP/2.0 180 Ringing", state, 2))
    stranger.run((seconds - 1) * SECOND)
    assert not stranger.told_last(ReferProgress).is_final
    stranger.run(2 * SECOND)
    assert progress(stranger) == (408, True)


def test_a_notify_of_another_refer_is_not_of_ours() -> None:
    stranger = Stranger()
    tag, sent = referring(stranger)
    other, ours = (f"Event: refer;id={sent.cseq.number + n}" for n in (1, 0))
    theirs = notify(tag, "SIP/2.0 200 OK", "terminated", 2)
    assert stranger.status(theirs.replace("Event: refer", other)) == 481
    assert (
        stranger.status(notify(tag, "SIP/2.0 200 OK", "terminated", 3).replace("Event: refer", ours)) == 200
    )


def test_the_first_notify_may_come_before_the_answer() -> None:
    stranger = Stranger()
    tag = up(stranger)
    stranger.calls[0].transfers.refer("sip:carol@192.0.2.3", "", stranger.now)
    (sent,) = stranger.take()
    stranger.send(notify(tag, "SIP/2.0 200 OK", "terminated;reason=noresource", 2))
    stranger.send(reply(sent, 202))
    told = [(e.status, e.is_final) for e in stranger.events if isinstance(e, ReferProgress)]
    assert told == [(200, True)]


@pytest.mark.parametrize(
    ("realm", "final"), [("carrier", (202, False)), ("thief", (407, True))], ids=["carrier", "thief"]
)
def test_a_carrier_that_wants_a_password_for_it_gets_it(realm: str, final: tuple[int, bool]) -> None:
    """Whoever the INVITE has shown it to, and nobody else."""
    stranger = Stranger()
    session, sent = placed(stranger, Credentials("me", "secret"))
    again = stranger.send(reply(sent, 407, f"Proxy-Authenticate: {CHALLENGE}"))[1]
    stranger.send(reply(again, 200, *ANSWER, body=OFFER))
    session.transfers.refer("sip:carol@192.0.2.3", "a%3Bto-tag%3Db%3Bfrom-tag%3Dc", stranger.now)
    (asked,) = stranger.take()
    challenge = CHALLENGE.replace("carrier", realm)
    proven = stranger.send(reply(asked, 407, f"Proxy-Authenticate: {challenge}"))
    if realm == "carrier":
        (second,) = proven
        assert second.get("Refer-To") == asked.get("Refer-To")
        assert second.cseq.number == asked.cseq.number + 1
        assert "nc=00000002" in (second.get("Proxy-Authorization") or "")
        stranger.send(reply(second, 202))
    assert progress(stranger) == final


def test_a_wrong_password_is_not_tried_for_ever() -> None:
    stranger = Stranger()
    session, sent = placed(stranger, Credentials("me", "secret"))
    again = stranger.send(reply(sent, 401, f"WWW-Authenticate: {CHALLENGE}"))[1]
    stranger.send(reply(again, 200, *ANSWER, body=OFFER))
    session.transfers.refer("sip:carol@192.0.2.3", "", stranger.now)
    asked, tries = stranger.take(), 0
    while asked:
        tries += 1
        challenge = CHALLENGE.replace("n1", f"m{tries}") + ", stale=true"
        asked = stranger.send(reply(asked[0], 401, f"WWW-Authenticate: {challenge}"))
    assert tries <= MOST + 1
    assert progress(stranger) == (401, True)


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


@pytest.mark.parametrize("status", [300, 405, 603])
def test_who_refuses_has_said_all(status: int) -> None:
    stranger = Stranger()
    up(stranger)
    stranger.calls[0].transfers.refer("sip:carol@192.0.2.3", "", stranger.now)
    (sent,) = stranger.take()
    stranger.send(reply(sent, status))
    assert stranger.events == [ReferProgress(stranger.now, status, True)]


def test_one_refer_at_a_time_and_none_before_the_call_is_up() -> None:
    stranger = Stranger()
    stranger.send(invite())
    stranger.calls[0].transfers.refer("sip:carol@192.0.2.3", "", stranger.now)
    stranger.picks_up()
    for _ in range(2):
        stranger.calls[0].transfers.refer("sip:carol@192.0.2.3", "", stranger.now)
    assert only(Request, stranger.take()).method == "REFER"
    told = [e.status for e in stranger.events if isinstance(e, ReferProgress)]
    assert told == [481, 491]
