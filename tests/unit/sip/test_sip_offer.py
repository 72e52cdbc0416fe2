"""Offer and answer: what is agreed on, and how it is written."""

from __future__ import annotations

from typing import Any

import pytest

from callrouter.ports import Direction, MediaAddress, NegotiatedAudio
from callrouter.sip.protocol import sdp
from callrouter.sip.protocol.noise import NoisePolicy
from callrouter.sip.protocol.offer import (
    Agreement,
    Description,
    NothingFits,
    Terms,
    agree,
    write_answer,
    write_offer,
    write_renewal,
)

HEAD = "v=0\r\no=- 1 1 IN IP4 192.0.2.9\r\ns=-\r\nc=IN IP4 192.0.2.9\r\nt=0 0\r\n"
OURS = Description(7, 3, MediaAddress("198.51.100.1", 4000))


def agreed(*lines: str, head: str = HEAD) -> Agreement:
    return agree(sdp.parse((head + "".join(f"{line}\r\n" for line in lines)).encode()))


def test_the_callers_order_decides_among_our_codecs() -> None:
    assert agreed("m=audio 6000 RTP/AVP 18 8 0").audio.codec == "PCMA"
    assert agreed("m=audio 6000 RTP/AVP 0 8").audio.codec == "PCMU"


def test_codecs_are_known_by_name_when_mapped_and_by_number_when_not() -> None:
    mapped = agreed("m=audio 6000 RTP/AVP 96 97", "a=rtpmap:96 opus/48000/2", "a=rtpmap:97 pcma/8000").audio
    assert (mapped.codec, mapped.payload_type) == ("PCMA", 97)
    with pytest.raises(NothingFits):
        agreed("m=audio 6000 RTP/AVP 0", "a=rtpmap:0 SPEEX/8000")


def test_telephone_events_keep_the_callers_number_and_other_rates_do_not_count() -> None:
    maps = ("a=rtpmap:100 telephone-event/48000", "a=rtpmap:101 TELEPHONE-EVENT/8000")
    assert agreed("m=audio 6000 RTP/AVP 0 100 101", *maps).audio.dtmf_payload_type == 101
    assert agreed("m=audio 6000 RTP/AVP 0 101").audio.dtmf_payload_type is None


def test_the_address_of_the_stream_goes_before_that_of_the_session() -> None:
    audio = agreed("m=audio 6000 RTP/AVP 0", "c=IN IP6 2001:db8::1").audio
    assert audio.remote == MediaAddress("2001:db8::1", 6000)


def test_rtcp_goes_where_it_is_told_or_next_door() -> None:
    assert agreed("m=audio 6000 RTP/AVP 0").audio.remote_rtcp == MediaAddress("192.0.2.9", 6001)
    named = agreed("m=audio 6000 RTP/AVP 0", "a=rtcp:7000").audio
    assert named.remote_rtcp == MediaAddress("192.0.2.9", 7000)
    moved = agreed("m=audio 6000 RTP/AVP 0", "a=rtcp:7000 IN IP4 192.0.2.10").audio
    assert moved.remote_rtcp == MediaAddress("192.0.2.10", 7000)
    assert agreed("m=audio 65535 RTP/AVP 0").audio.remote_rtcp is None
    odd = agreed("m=audio 6000 RTP/AVP 0", "a=rtcp:x").audio
    assert odd.remote_rtcp == MediaAddress("192.0.2.9", 6001)


def test_the_first_usable_audio_line_is_taken_and_every_line_mirrored() -> None:
    found = agreed(
        "m=video 5000 RTP/AVP 31",
        "m=audio 6000 RTP/SAVP 0",
        "m=audio 6002 RTP/AVP 0",
        "m=audio 6004 RTP/AVP 0",
        "m=application 6006 UDP/BFCP *",
    )
    lines = [line for line in write_answer(OURS, found).decode().split("\r\n") if line.startswith("m=")]
    assert lines == [
        "m=video 0 RTP/AVP 31",
        "m=audio 0 RTP/SAVP 0",
        "m=audio 4000 RTP/AVP 0",
        "m=audio 0 RTP/AVP 0",
        "m=application 0 UDP/BFCP *",
    ]


@pytest.mark.parametrize(
    "lines",
    [
        (),
        ("m=audio 0 RTP/AVP 0",),
        ("m=audio 6000 RTP/AVP 18",),
        ("m=image 6000 udptl t38",),
    ],
)
def test_nothing_fits(lines: tuple[str, ...]) -> None:
    with pytest.raises(NothingFits):
        agreed(*lines)


def test_no_address_at_all_is_nothing_that_fits() -> None:
    with pytest.raises(NothingFits):
        agreed("m=audio 6000 RTP/AVP 0", head="v=0\r\no=- 1 1 IN IP4 x\r\ns=-\r\nt=0 0\r\n")


@pytest.mark.parametrize(
    "body",
    [
        "",
        "v=1",
        "v=0\nm=audio",
        "v=0\nm=audio 99999999999 RTP/AVP 0",
        "v=0\nc=IN IP4",
        "v=0\nc=ATM NSAP x",
        "v=0\no=-",
        "v=0\n" + "a=x\n" * 600,
        "v=0\n" + "m=audio 0 RTP/AVP 0\n" * 40,
    ],
)
def test_malformed_descriptions_are_refused(body: str) -> None:
    with pytest.raises(ValueError, match=r"SDP|line|number|many"):
        sdp.parse(body.encode())


def test_an_unspecified_address_may_be_received_from_but_not_sent_to() -> None:
    assert agreed("m=audio 6000 RTP/AVP 0", "c=IN IP4 0.0.0.0").audio.direction is Direction.RECVONLY
    assert agreed("m=audio 6000 RTP/AVP 0", "c=IN IP6 ::", "a=recvonly").audio.direction is Direction.INACTIVE


def test_an_offer_of_ours_reads_back_as_what_was_meant() -> None:
    body = write_offer(OURS, Direction.SENDONLY)
    assert b"o=- 7 3 IN IP4 198.51.100.1\r\n" in body
    back = agree(sdp.parse(body)).audio
    assert (back.remote, back.codec, back.dtmf_payload_type) == (OURS.local, "PCMU", 101)
    assert back.direction is Direction.RECVONLY


def test_an_answer_with_numbers_of_its_own_leaves_ours_in_use() -> None:
    """RFC 3264 §6.1: it is sent to with its numbers, and may send with those of the offer."""
    text = HEAD + "m=audio 6000 RTP/AVP 8 96\r\na=rtpmap:96 telephone-event/8000\r\n"
    description = sdp.parse(text.encode())
    audio = agree(description, is_answer=True).audio
    assert (audio.payload_type, audio.own_payload_type) == (8, None)
    assert (audio.dtmf_payload_type, audio.own_dtmf_payload_type) == (96, 101)
    assert agree(description).audio.own_dtmf_payload_type is None


@pytest.mark.parametrize("line", ["a=rtpmap: 96  telephone-event/8000", "a=rtpmap:96\ttelephone-event/8000 "])
def test_spaces_that_do_not_belong_there_hide_no_format(line: str) -> None:
    assert agreed("m=audio 6000 RTP/AVP 8 96", line).audio.dtmf_payload_type == 96


def test_a_user_name_with_spaces_does_not_cost_the_call() -> None:
    description = sdp.parse(HEAD.replace("o=- 1 1", "o=Front Desk 17 4").encode())
    assert (description.session_id, description.version) == ("17", 4)


def test_ipv6_is_written_as_ip6() -> None:
    body = write_offer(Description(1, 1, MediaAddress("2001:db8::1", 4000)), Direction.SENDRECV)
    assert b"c=IN IP6 2001:db8::1\r\n" in body


@pytest.mark.parametrize(
    ("said", "longest_ms", "answered"),
    [
        ((), 0, 20),
        (("a=ptime:20",), 0, 20),
        (("a=ptime:30",), 0, 20),
        (("a=ptime:30", "a=maxptime:60"), 60, 20),
        (("a=maxptime:20",), 20, 20),
        (("a=maxptime:10",), 10, 10),
        (("a=maxptime:15",), 15, 10),
        (("a=maxptime:9",), 9, 5),
        (("a=maxptime:1",), 1, 5),
        (("a=ptime:10",), 10, 10),
        (("a=ptime:10", "a=maxptime:150"), 10, 10),
        (("a=ptime:10", "a=maxptime:5"), 5, 5),
        (("a=ptime:20", "a=maxptime:10"), 10, 10),
        (("a=ptime:0", "a=maxptime:0"), 0, 20),
        (("a=ptime:22.5", "a=maxptime:many"), 0, 20),
        (("a=ptime:-10", "a=maxptime:"), 0, 20),
    ],
)
def test_packets_are_of_twenty_milliseconds_or_shorter_where_those_are_too_long(
    said: tuple[str, ...], longest_ms: int, answered: int
) -> None:
    found = agreed("m=audio 6000 RTP/AVP 0", *said)
    assert found.audio.longest_ms == longest_ms
    assert f"a=ptime:{answered}\r\n".encode() in write_answer(OURS, found)
    assert b"a=ptime:20\r\n" in write_offer(OURS, Direction.SENDRECV)


def test_packets_of_opus_are_never_cut() -> None:
    opus = sdp.parse(
        (HEAD + "m=audio 6000 RTP/AVP 107\r\na=rtpmap:107 opus/48000/2\r\na=maxptime:10\r\n").encode()
    )
    found = agree(opus, Terms(("OPUS",)))
    assert found.audio.longest_ms == 0
    assert b"a=ptime:20\r\n" in write_answer(OURS, found)


@pytest.mark.parametrize("host", ["localhost", "999.1.1.1", "224.0.0.1", "ff02::1"])
def test_a_stream_to_anything_but_one_address_cannot_be_used(host: str) -> None:
    with pytest.raises(NothingFits):
        agreed("m=audio 6000 RTP/AVP 0", f"c=IN IP4 {host}")


def test_an_rtcp_address_that_is_none_falls_back_to_the_streams() -> None:
    audio = agreed("m=audio 6000 RTP/AVP 0", "a=rtcp:6500 IN IP4 foo").audio
    assert audio.remote_rtcp == MediaAddress("192.0.2.9", 6500)


WIDE = Terms(("OPUS", "G722", "PCMU"))


def agreed_wide(*lines: str) -> Agreement:
    return agree(sdp.parse((HEAD + "".join(f"{line}\r\n" for line in lines)).encode()), WIDE)


def test_wideband_codecs_are_offered_as_their_rfcs_write_them() -> None:
    text = write_offer(OURS, Direction.SENDRECV, WIDE).decode()
    assert "m=audio 4000 RTP/AVP 107 9 0 101 110\r\n" in text
    assert "a=rtpmap:107 opus/48000/2\r\na=fmtp:107 useinbandfec=1\r\n" in text
    assert "a=rtpmap:9 G722/8000\r\n" in text
    assert "a=rtpmap:110 telephone-event/48000\r\n" in text


def test_opus_is_answered_with_the_callers_numbers_and_its_clock() -> None:
    agreement = agreed_wide(
        "m=audio 6000 RTP/AVP 96 9 97 101",
        "a=rtpmap:96 opus/48000/2",
        "a=rtpmap:97 telephone-event/48000",
        "a=rtpmap:101 telephone-event/8000",
    )
    audio = agreement.audio
    assert (audio.codec, audio.payload_type) == ("OPUS", 96)
    assert (audio.dtmf_payload_type, audio.dtmf_clock_rate) == (97, 48000)
    text = write_answer(OURS, agreement).decode()
    assert "m=audio 4000 RTP/AVP 96 97\r\n" in text
    assert "a=rtpmap:96 opus/48000/2\r\n" in text
    assert "a=rtpmap:97 telephone-event/48000\r\n" in text


def test_events_of_another_clock_are_better_than_none() -> None:
    audio = agreed_wide(
        "m=audio 6000 RTP/AVP 96 101", "a=rtpmap:96 opus/48000/2", "a=rtpmap:101 telephone-event/8000"
    ).audio
    assert (audio.dtmf_payload_type, audio.dtmf_clock_rate) == (101, 8000)


def test_g722_has_the_clock_of_an_old_mistake() -> None:
    assert agreed_wide("m=audio 6000 RTP/AVP 9 0").audio.codec == "G722"
    assert agreed_wide("m=audio 6000 RTP/AVP 96 0", "a=rtpmap:96 G722/16000").audio.codec == "PCMU"


CN = "m=audio 6000 RTP/AVP 0 13 101"
EVENTS = "a=rtpmap:101 telephone-event/8000"


def with_policy(policy: NoisePolicy, *lines: str, **how: Any) -> NegotiatedAudio:
    body = (HEAD + "".join(f"{line}\r\n" for line in lines)).encode()
    return agree(sdp.parse(body), Terms(noise=policy, codecs=("OPUS", "G722", "PCMU")), **how).audio


@pytest.mark.parametrize(
    ("policy", "lines", "number"),
    [
        (NoisePolicy.MIRROR, (CN, EVENTS), 13),
        (NoisePolicy.OFFER, (CN, "a=rtpmap:13 CN/8000", EVENTS), 13),
        (NoisePolicy.OFF, (CN, EVENTS), None),
        (NoisePolicy.MIRROR, ("m=audio 6000 RTP/AVP 0",), None),
        (NoisePolicy.MIRROR, ("m=audio 6000 RTP/AVP 9 98", "a=rtpmap:98 CN/8000"), 98),
        (NoisePolicy.MIRROR, ("m=audio 6000 RTP/AVP 0 105", "a=rtpmap:105 CN/16000"), None),
        (NoisePolicy.MIRROR, ("m=audio 6000 RTP/AVP 96 13", "a=rtpmap:96 opus/48000/2"), None),
    ],
)
def test_comfort_noise_is_agreed_on_where_it_is_offered_and_wanted(
    policy: NoisePolicy, lines: tuple[str, ...], number: int | None
) -> None:
    assert with_policy(policy, *lines).noise_payload_type == number


def test_comfort_noise_is_answered_with_the_callers_number_and_offered_only_if_it_is_to_be() -> None:
    found = agreed(CN, EVENTS)
    text = write_answer(OURS, found).decode()
    assert "m=audio 4000 RTP/AVP 0 13 101\r\n" in text
    assert "a=rtpmap:13 CN/8000\r\n" in text
    assert " 13 " in write_renewal(OURS, found, Direction.SENDRECV).decode().split("m=audio")[1]
    for policy in NoisePolicy:
        text = write_offer(OURS, Direction.SENDRECV, Terms(noise=policy)).decode()
        is_offered = "m=audio 4000 RTP/AVP 0 8 13 101\r\n" in text and "a=rtpmap:13 CN/8000\r\n" in text
        assert is_offered is (policy is NoisePolicy.OFFER)


def test_an_answer_cannot_bring_in_what_was_not_offered() -> None:
    assert with_policy(NoisePolicy.MIRROR, CN, is_answer=True).noise_payload_type is None
    assert with_policy(NoisePolicy.OFFER, CN, is_answer=True).noise_payload_type == 13
    before = with_policy(NoisePolicy.MIRROR, CN)
    assert with_policy(NoisePolicy.MIRROR, CN, is_answer=True, before=before).noise_payload_type == 13
