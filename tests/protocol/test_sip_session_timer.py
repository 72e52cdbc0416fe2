"""Session timers (RFC 4028), in both roles: agreed, kept alive, and ended when nobody is there."""

from __future__ import annotations

import random

import pytest

from callrouter.ports import Answered, EndCause, Ended, Failed
from callrouter.sip.protocol.agent import AgentSettings
from callrouter.sip.protocol.message import Request, Response
from callrouter.sip.protocol.timers import LIFETIME, MS
from tests.narrowing import as_a, only
from tests.protocol.stranger import ANSWER, CONTACT, OFFER, Stranger, invite, reply, text
from tests.protocol.test_sip_dialog import placed
from tests.protocol.wire import SECOND, Wire

TIMED = ("Supported: timer", "Session-Expires: 1800")


def answered(stranger: Stranger, *lines: str) -> Response:
    """The 200 of a call that is up."""
    stranger.send(invite(*lines))
    return stranger.picks_up()


def short(wire: Wire, seconds: int = 100) -> None:
    for party in (wire.caller, wire.callee):
        party.agent.settings = AgentSettings(session_seconds=seconds)


def test_an_interval_below_ours_is_refused_with_what_we_would_take() -> None:
    stranger = Stranger()
    (refused,) = stranger.send(invite("Supported: timer", "Session-Expires: 60"))
    assert isinstance(refused, Response)
    assert (refused.status, refused.get("Min-SE")) == (422, "90")
    assert not stranger.calls


def test_a_caller_that_knows_no_timers_is_not_refused_for_one_a_proxy_put_in() -> None:
    ok = answered(Stranger(), "Session-Expires: 60")
    assert (ok.get("Session-Expires"), ok.get("Require")) == ("90;refresher=uas", None)


@pytest.mark.parametrize(
    ("lines", "expires", "require"),
    [
        (TIMED, "1800;refresher=uac", "timer"),
        (("Supported: timer", "Session-Expires: 1800;refresher=uas"), "1800;refresher=uas", None),
        (("Supported: timer", "Session-Expires: 300;refresher=UAC"), "300;refresher=uac", "timer"),
        (("Supported: timer", "Session-Expires: 7200"), "1800;refresher=uac", "timer"),
        (("Supported: timer", "Session-Expires: 7200", "Min-SE: 3600"), "3600;refresher=uac", "timer"),
        (("Supported: timer", "Min-SE: 2000"), "2000;refresher=uac", "timer"),
        (("k: timer", "x: 400"), "400;refresher=uac", "timer"),
        ((), "1800;refresher=uas", None),
        (("Supported: timer", "Session-Expires: never"), "1800;refresher=uac", "timer"),
    ],
)
def test_what_the_200_says_about_the_interval(
    lines: tuple[str, ...], expires: str, require: str | None
) -> None:
    ok = answered(Stranger(), *lines)
    assert (ok.get("Session-Expires"), ok.get("Require")) == (expires, require)


def test_a_server_told_to_leave_timers_alone_says_nothing_of_them() -> None:
    stranger = Stranger()
    stranger.agent.settings = AgentSettings(session_seconds=0)
    assert answered(stranger).get("Session-Expires") is None
    assert not stranger.run(86_400 * SECOND)


def test_a_caller_that_owes_a_refresh_and_sends_none_is_gone() -> None:
    stranger = Stranger()
    answered(stranger, *TIMED)
    assert not stranger.run(1767 * SECOND)
    sent = stranger.run(2 * SECOND)
    bye = sent[0]
    assert isinstance(bye, Request)
    assert (bye.method, bye.get("Reason")) == ("BYE", 'Q.850;cause=102;text="session timer expired"')
    (ended,) = [e for e in stranger.events if isinstance(e, Ended)]
    assert ended.cause is EndCause.TIMEOUT


@pytest.mark.parametrize("lines", [(), ("Allow: INVITE, ACK, BYE, CANCEL",)])
def test_without_update_the_refresh_is_a_reinvite_with_the_same_description(lines: tuple[str, ...]) -> None:
    stranger = Stranger()
    ok = answered(stranger, *lines)
    assert not stranger.run(899 * SECOND)
    refresh = stranger.run(2 * SECOND)[0]
    assert isinstance(refresh, Request)
    assert (refresh.method, refresh.get("Session-Expires")) == ("INVITE", "1800;refresher=uac")
    assert refresh.body.splitlines()[2:] == ok.body.splitlines()[2:]


def test_an_update_of_the_caller_refreshes() -> None:
    stranger = Stranger()
    ok = answered(stranger, *TIMED)
    stranger.run(1000 * SECOND)
    update = text(
        "UPDATE",
        *TIMED,
        "Contact: <sip:peer@192.0.2.9>",
        to_tag=ok.to_tag,
        branch="z9hG4bKu",
        cseq="2 UPDATE",
    )
    (refreshed,) = stranger.send(update)
    assert isinstance(refreshed, Response)
    assert (refreshed.status, refreshed.get("Session-Expires")) == (200, "1800;refresher=uac")
    assert not refreshed.body
    assert not stranger.run(1767 * SECOND)
    assert stranger.run(2 * SECOND)


def test_a_refresh_with_too_small_an_interval_is_refused_and_changes_nothing() -> None:
    stranger = Stranger()
    ok = answered(stranger, *TIMED)
    lines = ("Supported: timer", "Session-Expires: 30")
    update = text("UPDATE", *lines, to_tag=ok.to_tag, branch="z9hG4bKu", cseq="2 UPDATE")
    assert stranger.status(update) == 422
    assert not stranger.run(1760 * SECOND)


def test_two_cores_agree_and_refresh_by_update_until_the_call_ends() -> None:
    wire = Wire()
    short(wire)
    session, _ = wire.established()
    wire.run(1000 * SECOND)
    refreshes = [s for s in wire.seen if s.name == "UPDATE"]
    assert len(refreshes) == 20
    assert {s.sender for s in refreshes} == {"caller"}
    assert not wire.caller.told(Ended)
    session.hangup("", wire.now)
    wire.settle()


def test_a_422_is_answered_with_the_interval_it_asks_for() -> None:
    wire = Wire()
    wire.caller.agent.settings = AgentSettings(session_seconds=100)
    wire.callee.agent.settings = AgentSettings(session_seconds=1800, min_session_seconds=600)
    wire.established()
    assert wire.names()[:4] == ["INVITE", "422 INVITE", "ACK", "INVITE"]
    first, second = (s.message for s in wire.seen if s.name == "INVITE")
    assert (first.get("Session-Expires"), second.get("Session-Expires")) == ("100", "600")
    assert second.get("Min-SE") == "600"
    assert (second.call_id, second.from_tag, second.cseq.number) == (first.call_id, first.from_tag, 2)
    assert len(wire.caller.told(Answered)) == 1


def test_a_peer_that_answers_422_for_ever_is_believed_once() -> None:
    """It asks for no more than it was offered the second time: that is its refusal."""
    wire = Wire()
    wire.callee.on_call = lambda s, now: s.reject(422, "", (("Min-SE", "2000"),), now)
    wire.invite()
    wire.run(SECOND)
    assert wire.names("caller").count("INVITE") == 2
    (failed,) = wire.caller.told(Failed)
    assert failed.status == 422


@pytest.mark.parametrize(("said", "due"), [("90", 45), ("60", 30), ("30", 15), ("5", 5), ("0", 900)])
def test_a_callee_that_agrees_on_less_than_anybody_may_is_refreshed_in_its_time(said: str, due: int) -> None:
    """Taken for 90 seconds it would have hung up before; we ask for what we may all the same."""
    stranger = Stranger()
    _, sent = placed(stranger)
    timing = ("Allow: UPDATE", f"Session-Expires: {said};refresher=uac", "Require: timer")
    stranger.send(reply(sent, 200, *ANSWER, *timing, body=OFFER))
    for _ in range(2):
        assert not stranger.run((due - 1) * SECOND)
        refresh = only(Request, stranger.run(SECOND + 100 * MS))
        assert (refresh.method, refresh.get("Session-Expires")) == (
            "UPDATE",
            f"{max(90, 2 * due)};refresher=uac",
        )
        stranger.send(reply(refresh, 200, CONTACT, *timing))
        stranger.now -= 100 * MS


def test_a_callee_that_owes_a_refresh_so_soon_and_sends_none_is_gone() -> None:
    stranger = Stranger()
    _, sent = placed(stranger)
    timing = ("Session-Expires: 30;refresher=uas", "Require: timer")
    stranger.send(reply(sent, 200, *ANSWER, *timing, body=OFFER))
    assert not stranger.run(19 * SECOND)
    assert as_a(Request, stranger.run(2 * SECOND)[0]).method == "BYE"


@pytest.mark.parametrize("dead", ["caller", "callee"])
def test_when_one_end_dies_the_other_one_ends_within_the_interval(dead: str) -> None:
    wire = Wire()
    short(wire, 1800)
    wire.established()
    wire.drop = lambda seen: True
    gone = wire.caller if dead == "caller" else wire.callee
    gone.agent.layer.timers._heap.clear()  # the dead do not wake
    other = wire.other(gone)
    wire.run(1800 * SECOND + LIFETIME)
    (ended,) = other.told(Ended)
    assert ended.cause is EndCause.TIMEOUT


@pytest.mark.parametrize("seed", range(20))
def test_a_lossy_network_costs_no_refreshed_call(seed: int) -> None:
    """A tenth of everything is lost; fifty intervals later both are still there."""
    chance = random.Random(seed)
    wire = Wire()
    short(wire)
    session, _ = wire.established()
    wire.drop = lambda seen: chance.random() < 0.1
    wire.run(50 * 100 * SECOND)
    assert not wire.caller.told(Ended)
    assert not wire.callee.told(Ended)
    wire.drop = lambda seen: False
    session.hangup("", wire.now)
    wire.settle()


def test_a_refresh_refused_for_the_moment_is_tried_again() -> None:
    stranger = Stranger()
    answered(stranger, "Allow: UPDATE")
    (update,) = stranger.run(901 * SECOND)[:1]
    stranger.send(reply(update, 500))
    (again,) = stranger.run(11 * SECOND)[:1]
    assert isinstance(again, Request)
    assert (again.method, again.cseq.number) == ("UPDATE", update.cseq.number + 1)


def test_a_peer_whose_update_turns_out_to_be_missing_is_refreshed_by_reinvite() -> None:
    stranger = Stranger()
    answered(stranger, "Allow: UPDATE")
    (update,) = stranger.run(901 * SECOND)[:1]
    (reinvite,) = stranger.send(reply(update, 501))
    assert isinstance(reinvite, Request)
    assert reinvite.method == "INVITE"


def test_a_refresh_answered_481_ends_the_call() -> None:
    stranger = Stranger()
    answered(stranger, "Allow: UPDATE")
    (update,) = stranger.run(901 * SECOND)[:1]
    (bye,) = stranger.send(reply(update, 481))
    assert isinstance(bye, Request)
    assert bye.method == "BYE"
    assert isinstance(stranger.events[-1], Ended)


def test_a_call_that_rings_for_ever_is_cancelled_and_told_as_not_answered() -> None:
    wire = Wire()
    wire.callee.on_call = lambda s, now: s.ring(now)
    wire.invite()
    wire.drop = lambda seen: seen.name == "180 INVITE" and seen.at_ns > wire.seen[0].at_ns + SECOND
    wire.run(655 * SECOND)
    assert not wire.caller.told(Failed)
    wire.run(10 * SECOND)
    (failed,) = wire.caller.told(Failed)
    assert failed.status == 408
    (ended,) = wire.callee.told(Ended)
    assert ended.cause is EndCause.CANCEL
    wire.settle()


def test_a_callee_that_goes_on_saying_it_rings_may_ring() -> None:
    wire = Wire()
    wire.callee.on_call = lambda s, now: s.ring(now)
    wire.invite()
    wire.run(1200 * SECOND)
    assert not wire.caller.told(Failed)
