"""Telling whoever has sent a REFER how far it gets: NOTIFY after NOTIFY until the end, and not beyond."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from callrouter.sip.protocol.auth import Credentials
from callrouter.sip.protocol.message import Request, Response
from tests.narrowing import as_a, only, those
from tests.protocol.stranger import ANSWER, CONTACT, OFFER, Stranger, reply, text
from tests.protocol.test_sip_dialog import placed
from tests.protocol.test_sip_proof import CHALLENGE
from tests.protocol.test_sip_transfer import CAROL, refer, up
from tests.protocol.wire import SECOND

NUMBER = 2
EXPIRES = 720


def accepted(stranger: Stranger, *lines: str) -> list[Request]:
    """The NOTIFY that follows the 202 to a REFER."""
    stranger.send(refer(up(stranger), CAROL, CONTACT, *lines, number=NUMBER))
    stranger.calls[0].transfers.settle(NUMBER, 202, stranger.now)
    first, *notifies = stranger.take()
    assert isinstance(first, Response)
    assert first.status == 202
    return [notify for notify in notifies if isinstance(notify, Request)]


def told(sent: Sequence[Request | Response]) -> list[tuple[str, str]]:
    """The status line and the state of each NOTIFY."""
    notifies = [m for m in sent if isinstance(m, Request)]
    assert {(m.method, m.get("Event")) for m in notifies} <= {("NOTIFY", f"refer;id={NUMBER}")}
    return [(m.body.decode().strip(), m.get("Subscription-State") or "") for m in notifies]


def tell(stranger: Stranger, status: int) -> list[Request | Response]:
    stranger.calls[0].transfers.tell(NUMBER, status, stranger.now)
    return stranger.take()


def test_a_refer_that_is_accepted_is_followed_by_notify_until_the_end() -> None:
    stranger = Stranger()
    (trying,) = accepted(stranger)
    assert told([trying]) == [("SIP/2.0 100 Trying", f"active;expires={EXPIRES}")]
    stranger.send(reply(trying, 200))
    stranger.now += 5 * SECOND
    (ringing,) = tell(stranger, 180)
    assert told([ringing]) == [("SIP/2.0 180 Ringing", f"active;expires={EXPIRES - 5}")]
    stranger.send(reply(ringing, 200))
    assert not tell(stranger, 180), "nothing new"
    (done,) = tell(stranger, 200)
    assert told([done]) == [("SIP/2.0 200 OK", "terminated;reason=noresource")]
    stranger.send(reply(done, 200))
    assert not tell(stranger, 200)
    assert not tell(stranger, 180)


def test_one_notify_at_a_time_and_the_last_word_counts() -> None:
    stranger = Stranger()
    (trying,) = accepted(stranger)
    assert not [s for status in (180, 183, 486) for s in tell(stranger, status)]
    sent = stranger.send(reply(trying, 200))
    assert told(sent) == [("SIP/2.0 486 Busy Here", "terminated;reason=noresource")]


@pytest.mark.parametrize("lines", [("Refer-Sub: false",), ("Refer-Sub: False;x=y", "Require: norefersub")])
def test_whoever_wants_no_notify_gets_none(lines: tuple[str, ...]) -> None:
    stranger = Stranger()
    stranger.send(refer(up(stranger), CAROL, CONTACT, *lines))
    stranger.calls[0].transfers.settle(NUMBER, 202, stranger.now)
    answer = only(Response, stranger.take())
    assert (answer.status, answer.get("Refer-Sub")) == (202, "false")
    assert not tell(stranger, 200)


def test_who_asks_for_notify_in_so_many_words_gets_it() -> None:
    assert accepted(Stranger(), "Refer-Sub: true")


@pytest.mark.parametrize("status", [481, 489, 500])
def test_who_refuses_to_be_told_is_told_no_more(status: int) -> None:
    stranger = Stranger()
    (trying,) = accepted(stranger)
    stranger.send(reply(trying, status))
    assert not tell(stranger, 200)
    assert stranger.calls[0].is_up, "the call is not the subscription"


def test_who_does_not_answer_is_told_no_more() -> None:
    stranger = Stranger()
    accepted(stranger)
    stranger.run(33 * SECOND)
    assert not tell(stranger, 200)


def test_who_hangs_up_before_the_end_is_told_of_it_all_the_same() -> None:
    stranger = Stranger()
    (trying,) = accepted(stranger)
    stranger.send(reply(trying, 200))
    tag = stranger.calls[0].local_tag
    stranger.send(text("BYE", to_tag=tag, cseq="3 BYE", branch="z9hG4bKb"))
    (ringing,) = tell(stranger, 180)
    assert told([ringing]) == [("SIP/2.0 180 Ringing", f"active;expires={EXPIRES}")]
    stranger.send(reply(ringing, 481))
    assert not tell(stranger, 200), "it does not want to know"
    stranger.run(40 * SECOND)
    assert stranger.agent.is_idle


def test_what_never_ends_is_told_of_no_longer_than_was_said() -> None:
    stranger = Stranger()
    (trying,) = accepted(stranger)
    stranger.send(reply(trying, 200))
    late = told(those(Request, stranger.run((EXPIRES + 1) * SECOND)))
    assert late[0] == ("SIP/2.0 100 Trying", "terminated;reason=timeout")
    assert not tell(stranger, 200)


def subscribe(stranger: Stranger, event: str, *lines: str, number: int = 4) -> list[Request | Response]:
    tag, cseq, branch = stranger.calls[0].local_tag, f"{number} SUBSCRIBE", f"z9hG4bKs{number}"
    fields = (f"Event: {event}", CONTACT, *lines)
    return stranger.send(text("SUBSCRIBE", *fields, to_tag=tag, cseq=cseq, branch=branch))


def test_who_wants_to_hear_no_more_says_so() -> None:
    stranger = Stranger()
    (trying,) = accepted(stranger)
    stranger.send(reply(trying, 200))
    answer, last = subscribe(stranger, f"refer;id={NUMBER}", "Expires: 0")
    ok = as_a(Response, answer)
    assert (ok.status, ok.get("Expires")) == (200, "0")
    assert told([last]) == [("SIP/2.0 100 Trying", "terminated;reason=timeout")]
    stranger.send(reply(last, 200))
    assert not tell(stranger, 200)
    assert only(Response, subscribe(stranger, "refer", number=5)).status == 481


@pytest.mark.parametrize(
    ("line", "seconds"), [("Expires: 60", 60), ("Expires: 99999", EXPIRES), ("X: y", EXPIRES)]
)
def test_who_wants_to_hear_for_longer_is_told_how_things_are(line: str, seconds: int) -> None:
    stranger = Stranger()
    (trying,) = accepted(stranger)
    stranger.send(reply(trying, 200))
    stranger.now += 100 * SECOND
    answer, now = subscribe(stranger, "refer", line)
    ok = as_a(Response, answer)
    assert (ok.status, ok.get("Expires")) == (200, str(seconds))
    assert told([now]) == [("SIP/2.0 100 Trying", f"active;expires={seconds}")]
    stranger.send(reply(now, 200))
    late = told(those(Request, stranger.run((seconds + 1) * SECOND)))
    assert late[0] == ("SIP/2.0 100 Trying", "terminated;reason=timeout")


@pytest.mark.parametrize(
    ("event", "line", "status"),
    [
        ("presence", "Expires: 60", 489),
        ("refer;id=9", "Expires: 60", 481),
        ("refer;id=x", "Expires: 60", 481),
        ("refer", "Expires: soon", 400),
    ],
)
def test_what_cannot_be_subscribed_to_is_refused(event: str, line: str, status: int) -> None:
    stranger = Stranger()
    accepted(stranger)
    assert only(Response, subscribe(stranger, event, line)).status == status


def test_a_carrier_that_wants_to_know_who_tells_is_shown() -> None:
    """It is a call of ours to it, and it hands us on."""
    for realm, expected in (("carrier", 1), ("thief", 0)):
        stranger = Stranger()
        session, sent = placed(stranger, Credentials("me", "secret"))
        again = stranger.send(reply(sent, 401, f"WWW-Authenticate: {CHALLENGE}"))[1]
        stranger.send(reply(again, 200, *ANSWER, body=OFFER))
        line = text(
            "REFER",
            CAROL,
            CONTACT,
            call_id=session.call_id,
            to_tag=session.local_tag,
            from_tag="t1",
            cseq=f"{NUMBER} REFER",
        )
        stranger.send(line)
        session.transfers.settle(NUMBER, 202, stranger.now)
        _, trying = stranger.take()
        asked = CHALLENGE.replace("carrier", realm)
        proven = stranger.send(reply(trying, 401, f"WWW-Authenticate: {asked}"))
        assert len(told(proven)) == expected
        assert all('realm="carrier"' in (m.get("Authorization") or "") for m in proven)
