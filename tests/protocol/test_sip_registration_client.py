"""Staying registered with a carrier, in virtual time: refresh, challenges, failures, pauses."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest

from callrouter.sip.protocol.agent import Agent, AgentSettings
from callrouter.sip.protocol.auth import parse_digest
from callrouter.sip.protocol.digest_server import DigestServer
from callrouter.sip.protocol.hop import Hop, Listener
from callrouter.sip.protocol.message import Request, Response, parse
from callrouter.sip.protocol.probe import Probe
from callrouter.sip.protocol.proof import MOST
from callrouter.sip.protocol.registration_client import (
    FIRST_PAUSE,
    LONGEST_PAUSE,
    Account,
    RegistrationClient,
    RegistrationState,
)
from tests.protocol.wire import SECOND, counting_tokens

Fields = tuple[tuple[str, str], ...]
Answer = Callable[[Request, Hop], tuple[int, Fields] | None]

FIRST, SECOND_SERVER = Hop("udp", "198.51.100.1", 5060), Hop("udp", "198.51.100.2", 5060)
REGISTERED, FAILED = RegistrationState.REGISTERED, RegistrationState.FAILED


class Carrier:
    """Answers what our client sends, at once, as `answer` says; None = not at all."""

    def __init__(self, *servers: Hop) -> None:
        self.agent = Agent(AgentSettings(), counting_tokens("a"))
        self.agent.listeners.append(Listener("udp", "192.0.2.2", 5060))
        self.now = 1_000 * SECOND
        self.sent: list[tuple[float, Hop, Request]] = []
        self.states: list[tuple[RegistrationState, str]] = []
        self.answer: Answer = lambda request, hop: (200, ())
        self.client = RegistrationClient(
            self.agent,
            Account("carrier.example", "office", "secret", 300),
            lambda: servers or (FIRST,),
            lambda state, detail: self.states.append((state, detail)),
        )
        self.begun = self.now

    def flush(self) -> None:
        while self.agent.layer.out:
            packets, self.agent.layer.out = self.agent.layer.out, []
            for packet in packets:
                self._receive(packet.data, packet.hop)

    def _receive(self, data: bytes, hop: Hop) -> None:
        request = parse(data)
        assert isinstance(request, Request)
        self.sent.append(((self.now - self.begun) / SECOND, hop, request))
        answered = self.answer(request, hop)
        if answered is None:
            return
        status, more = answered
        names = ("Via", "From", "Call-ID", "CSeq")
        fields = [(n, v) for n, v in request.fields if n in names] + [("To", f"{request.get('To')};tag=c")]
        self.agent.receive(Response(status, "", [*fields, *more]), hop, self.now)

    def run(self, seconds: float) -> None:
        end = self.now + int(seconds * SECOND)
        self.flush()
        while (due := self.agent.timers.next_ns) is not None and due <= end:
            self.now = max(self.now, due)
            self.agent.timers.run(self.now)
            self.flush()
        self.now = end

    def start(self) -> None:
        self.client.start(self.now)
        self.flush()

    @property
    def times(self) -> list[float]:
        return [at for at, _, _ in self.sent]


def granting(seconds: int) -> Answer:
    return lambda request, hop: (200, (("Contact", f"{request.get('Contact')};expires={seconds}"),))


def test_it_says_who_where_and_for_how_long() -> None:
    carrier = Carrier()
    carrier.start()
    request = carrier.sent[0][2]
    assert request.uri == "sip:carrier.example"
    assert request.get("To") == "<sip:office@carrier.example>"
    assert request.get("Contact") == "<sip:office@192.0.2.2:5060>"
    assert request.get("Expires") == "300"
    assert carrier.states == [(REGISTERED, "for 300 s")]


@pytest.mark.parametrize(("granted", "refreshed"), [(300, 240), (60, 48), (20, 15), (4, 2)])
def test_it_is_renewed_well_before_what_was_granted_ends(granted: int, refreshed: int) -> None:
    carrier = Carrier()
    carrier.answer = granting(granted)
    carrier.start()
    carrier.run(refreshed + 0.5)
    assert carrier.times == [0, refreshed]
    numbers = [request.cseq.number for _, _, request in carrier.sent]
    assert numbers == [1, 2]
    assert len({request.call_id for _, _, request in carrier.sent}) == 1


def test_only_what_is_granted_to_our_contact_counts() -> None:
    carrier = Carrier()
    others = "<sip:office@203.0.113.9>;expires=10, <sip:office@192.0.2.2:5060>;expires=100"
    carrier.answer = lambda request, hop: (200, (("Contact", others), ("Expires", "55")))
    carrier.start()
    carrier.run(81)
    assert carrier.times == [0, 80]


@pytest.mark.parametrize("algorithms", [("MD5",), ("SHA-256", "MD5")])
def test_challenges_are_answered(algorithms: tuple[str, ...]) -> None:
    carrier = Carrier()
    digest = DigestServer("carrier", b"k", counting_tokens("d"), algorithms=algorithms)

    def answer(request: Request, hop: Hop) -> tuple[int, Fields]:
        verdict = digest.judge(request, {"office": "secret"}.get, carrier.now).verdict.value
        return (
            (200, ())
            if verdict == "right"
            else (401, digest.challenge(carrier.now, stale=verdict == "stale"))
        )

    carrier.answer = answer
    carrier.start()
    assert [state for state, _ in carrier.states] == [REGISTERED]
    carrier.run(1000)
    assert {state for state, _ in carrier.states} == {REGISTERED}


def test_a_carrier_whose_nonce_is_always_the_same_sees_it_counted() -> None:
    carrier = Carrier()
    asked = (("WWW-Authenticate", 'Digest realm="carrier", nonce="always", qop="auth"'),)
    carrier.answer = lambda request, hop: (200, ()) if request.get("Authorization") else (401, asked)
    carrier.start()
    carrier.run(600)
    proofs = [proof for _, _, request in carrier.sent if (proof := request.get("Authorization"))]
    assert [parse_digest(proof)["nc"] for proof in proofs] == ["00000001", "00000002", "00000003"]
    assert {state for state, _ in carrier.states} == {REGISTERED}


def test_a_wrong_password_is_given_once_a_round_and_rounds_grow_apart() -> None:
    carrier = Carrier()
    digest = DigestServer("carrier", b"k", counting_tokens("d"))
    carrier.answer = lambda request, hop: (401, digest.challenge(carrier.now))
    carrier.start()
    assert carrier.states == [(FAILED, "401 ")]
    carrier.run(20_000)
    rounds = carrier.times[::2]
    assert carrier.times == sorted([*rounds, *rounds])
    gaps = [(b - a) * SECOND for a, b in itertools.pairwise(rounds)]
    assert FIRST_PAUSE / 2 <= gaps[0] <= FIRST_PAUSE
    assert all(LONGEST_PAUSE / 2 <= gap <= LONGEST_PAUSE for gap in gaps[-5:])
    assert carrier.states == [(FAILED, "401 ")], "told once"


def test_a_server_that_finds_every_nonce_stale_does_not_keep_us_going() -> None:
    carrier = Carrier()
    digest = DigestServer("carrier", b"k", counting_tokens("d"))
    carrier.answer = lambda request, hop: (401, digest.challenge(carrier.now, stale=True))
    carrier.start()
    assert len(carrier.sent) == 1 + MOST
    assert carrier.client.state is FAILED


def test_a_longer_interval_is_asked_for_where_ours_is_too_short() -> None:
    carrier = Carrier()

    def answer(request: Request, hop: Hop) -> tuple[int, Fields]:
        return (200, ()) if request.get("Expires") == "600" else (423, (("Min-Expires", "600"),))

    carrier.answer = answer
    carrier.start()
    assert [request.get("Expires") for _, _, request in carrier.sent] == ["300", "600"]
    assert carrier.client.state is REGISTERED


@pytest.mark.parametrize("least", ["", "10", "9999999999", "soon"])
def test_a_423_that_makes_no_sense_is_a_failure(least: str) -> None:
    carrier = Carrier()
    carrier.answer = lambda request, hop: (423, (("Min-Expires", least),))
    carrier.start()
    assert len(carrier.sent) == 1
    assert carrier.client.state is FAILED


def test_the_next_server_is_asked_when_one_cannot_and_the_first_again_after_a_pause() -> None:
    carrier = Carrier(FIRST, SECOND_SERVER)
    carrier.answer = lambda request, hop: (503, ()) if hop == FIRST else (200, ())
    carrier.start()
    assert [hop for _, hop, _ in carrier.sent] == [FIRST, SECOND_SERVER]
    assert carrier.client.state is REGISTERED
    carrier.answer = lambda request, hop: (503, ())
    carrier.run(241)
    assert [hop for _, hop, _ in carrier.sent[2:]] == [FIRST, SECOND_SERVER]
    assert carrier.states[-1] == (FAILED, "503 ")


def test_a_server_that_does_not_answer_is_left_after_ten_seconds() -> None:
    carrier = Carrier(FIRST, SECOND_SERVER)
    carrier.answer = lambda request, hop: None if hop == FIRST else (200, ())
    carrier.start()
    carrier.run(10)
    assert carrier.sent[-1][1] == SECOND_SERVER
    assert carrier.client.state is REGISTERED


def test_it_waits_as_long_as_the_carrier_asks() -> None:
    carrier = Carrier()
    carrier.answer = lambda request, hop: (503, (("Retry-After", "120 (busy)"),))
    carrier.start()
    carrier.run(121)
    assert carrier.times == [0, 120]


def test_after_a_failure_it_comes_back() -> None:
    carrier = Carrier()
    carrier.answer = lambda request, hop: (500, ())
    carrier.start()
    carrier.answer = lambda request, hop: (200, ())
    carrier.run(11)
    assert [state for state, _ in carrier.states] == [FAILED, REGISTERED]


def test_it_is_taken_back_at_the_end() -> None:
    carrier = Carrier()
    carrier.start()
    carrier.client.stop(carrier.now)
    carrier.flush()
    assert carrier.sent[-1][2].get("Expires") == "0"
    carrier.run(10_000)
    assert len(carrier.sent) == 2
    assert carrier.agent.is_idle


def test_a_server_is_down_after_two_silences_and_up_with_its_next_answer() -> None:
    carrier = Carrier()
    told: list[tuple[float, bool, str]] = []
    probe = Probe(
        carrier.agent,
        lambda: FIRST,
        "sip:carrier.example",
        30 * SECOND,
        lambda is_up, why: told.append(((carrier.now - carrier.begun) / SECOND, is_up, why)),
    )
    probe.start(carrier.now)
    carrier.run(29)
    assert (probe.is_up, told) == (True, [])
    carrier.answer = lambda request, hop: None
    carrier.run(60)
    assert told == [(65, False, "no answer")]
    carrier.answer = lambda request, hop: (404, ())
    carrier.run(30)
    assert told[1:] == [(90, True, "404 ")]
    carrier.answer = lambda request, hop: (503, ())
    carrier.run(60)
    assert told[2:] == [(150, False, "503 ")]
    probe.stop()
    carrier.run(40)
    assert carrier.agent.is_idle
