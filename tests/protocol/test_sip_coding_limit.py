"""Calls that would have to be decoded and encoded while there is no time for more of them."""

from __future__ import annotations

import pytest

from callrouter.sip.protocol.message import Response
from tests.protocol.stranger import OFFER, Stranger, invite, text
from tests.protocol.wire import CALLEE_MEDIA

MIXED = OFFER.replace("0 8 101", "9 0 101")
G722 = OFFER.replace("0 8 101", "9 101")


def busy(*codecs: str) -> Stranger:
    stranger = Stranger(codecs=codecs)
    stranger.agent.has_time_to_code = lambda: False
    return stranger


def first(stranger: Stranger, message: str) -> Response:
    answers = [one for one in stranger.send(message) if isinstance(one, Response) and one.status > 100]
    return answers[0]


@pytest.mark.parametrize("offer", [G722, MIXED, OFFER.replace("0 8 101", "18")])
def test_where_every_codec_costs_time_no_call_is_taken_and_the_answer_says_why(offer: str) -> None:
    stranger = busy("OPUS", "G722")
    answer = first(stranger, invite(body=offer))
    assert answer.status == 503
    assert int(answer.get("Retry-After") or "") > 0
    assert answer.get("Warning") == (
        '399 callrouter "the limit of transcoding is reached, and no codec is agreed on here that needs none"'
    )
    assert stranger.calls == []


def test_nor_is_one_that_leaves_the_offer_to_us() -> None:
    answer = first(busy("G722"), text("INVITE", "Contact: <sip:peer@192.0.2.9>"))
    assert answer.status == 503


def test_where_there_is_g711_it_is_agreed_on_or_the_answer_names_what_is_not_to_be_had() -> None:
    stranger = busy("OPUS", "G722", "PCMU")
    answer = first(stranger, invite(body=G722))
    assert (answer.status, answer.get("Warning")) == (
        488,
        '305 callrouter "no usable audio stream: the limit of transcoding is reached for G722"',
    )
    assert stranger.calls == []
    stranger.send(invite(body=MIXED, branch="z9hG4bK2", call_id="c2"))
    [session] = stranger.calls
    assert session.stream.audio is not None
    assert session.stream.audio.codec == "PCMU"


def test_with_time_everything_is_agreed_on_and_a_call_that_is_up_keeps_its_codec() -> None:
    stranger = busy("G722")
    has_time = True
    stranger.agent.has_time_to_code = lambda: has_time
    stranger.send(invite(body=G722))
    [session] = stranger.calls
    session.answer(CALLEE_MEDIA, stranger.now)
    [answer] = stranger.take()
    has_time = False
    tag = answer.to_tag
    stranger.send(text("ACK", cseq="1 ACK", branch="z9hG4bK3", to_tag=tag))
    again = first(stranger, invite(body=G722, cseq="2 INVITE", branch="z9hG4bK4", to_tag=tag))
    assert again.status == 200
    assert b" 9 " in again.body


def test_a_party_may_be_called_in_the_codec_of_whoever_it_is_to_talk_with() -> None:
    """What both speak is passed on unread, which costs no time."""
    assert busy("OPUS", "G722", "PCMU").agent.codecs_beside("OPUS") == ("OPUS", "PCMU")
    assert busy("OPUS", "G722").agent.codecs_beside("PCMU") == ()
    assert busy("PCMU", "PCMA").agent.codecs_beside() == ("PCMU", "PCMA")
