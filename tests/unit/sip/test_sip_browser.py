"""Offers and answers of browsers: read, answered, placed, renewed."""

from __future__ import annotations

import itertools

import pytest

from callrouter.ports import Direction, MediaAddress, NegotiatedAudio
from callrouter.sip.protocol.offer import NothingFits
from callrouter.sip.protocol.stream import Stream

LOCAL = MediaAddress("198.51.100.1", 20000)
OURS = "sha-256 " + ":".join(["AB"] * 32)
THEIRS = ":".join(["CD"] * 32)
AUDIO = """\
m=audio 9 UDP/TLS/RTP/SAVPF 111 0 8 110 126
c=IN IP4 0.0.0.0
a=rtcp:9 IN IP4 0.0.0.0
a=ice-ufrag:Wxyz
a=ice-pwd:0123456789abcdefghijkl
a=ice-options:trickle
a=fingerprint:sha-256 {theirs}
a=setup:actpass
a=mid:0
a=extmap:1 urn:ietf:params:rtp-hdrext:ssrc-audio-level
a=sendrecv
a=msid:- 5f4f
a=rtcp-mux
a=rtpmap:111 opus/48000/2
a=fmtp:111 minptime=10;useinbandfec=1
a=rtpmap:110 telephone-event/48000
a=rtpmap:126 telephone-event/8000
a=candidate:1 1 udp 2113937151 4cd1.local 51234 typ host
a=ssrc:1001 cname:abc
"""
VIDEO = """\
m=video 9 UDP/TLS/RTP/SAVPF 96
c=IN IP4 0.0.0.0
a=mid:1
a=rtcp-mux
a=rtpmap:96 VP8/90000
"""
DATA = """\
m=application 9 UDP/DTLS/SCTP webrtc-datachannel
c=IN IP4 0.0.0.0
a=mid:2
a=sctp-port:5000
"""
HEAD = """\
v=0
o=- 4611731400430051336 2 IN IP4 127.0.0.1
s=-
t=0 0
a=group:BUNDLE {mids}
a=msid-semantic: WMS -
"""


def offer(*, audio: str = AUDIO, more: str = "", mids: str = "0", head: str = HEAD) -> bytes:
    return (head.format(mids=mids) + audio.format(theirs=THEIRS) + more).encode()


def a_stream(*codecs: str, fingerprint: str = OURS) -> Stream:
    numbers = itertools.count(1)
    return Stream(
        codecs or ("PCMU", "PCMA"), lambda octets: f"{next(numbers):0{octets * 2}x}", fingerprint=fingerprint
    )


def read(stream: Stream, body: bytes, *, is_answer: bool = False) -> NegotiatedAudio:
    stream.agreed = stream.read(body, is_answer=is_answer)
    audio = stream.audio
    assert audio is not None
    return audio


def answer(stream: Stream) -> list[str]:
    return stream.first_answer(LOCAL).decode().split("\r\n")


def test_an_offer_is_answered_with_all_that_a_browser_needs() -> None:
    stream = a_stream("OPUS", "PCMU")
    audio = read(stream, offer())
    peer = audio.browser
    assert peer is not None
    assert (audio.codec, audio.payload_type, audio.dtmf_payload_type) == ("OPUS", 111, 110)
    assert (peer.remote_ufrag, peer.hash, peer.digest) == ("Wxyz", "sha-256", b"\xcd" * 32)
    assert peer.is_client, "left the choice, we begin"
    lines = answer(stream)
    first_media = next(i for i, line in enumerate(lines) if line.startswith("m="))
    assert lines.index("a=group:BUNDLE 0") < first_media
    assert lines.index("a=ice-lite") < first_media
    assert lines[first_media] == "m=audio 20000 UDP/TLS/RTP/SAVPF 111 110"
    for line in (
        "a=mid:0",
        "a=rtcp-mux",
        f"a=ice-ufrag:{peer.local_ufrag}",
        f"a=ice-pwd:{peer.local_password}",
        "a=candidate:1 1 udp 2130706431 198.51.100.1 20000 typ host",
        "a=end-of-candidates",
        f"a=fingerprint:{OURS}",
        "a=setup:active",
        "a=sendrecv",
    ):
        assert lines.count(line) == 1, line
    assert len(peer.local_password) >= 22
    assert len(peer.local_ufrag) >= 4


def test_g711_is_agreed_on_where_opus_is_not_spoken() -> None:
    audio = read(a_stream(), offer())
    assert (audio.codec, audio.dtmf_payload_type, audio.dtmf_clock_rate) == ("PCMU", 126, 8000)


def test_an_address_that_is_not_known_yet_is_no_hold() -> None:
    assert read(a_stream(), offer()).direction is Direction.SENDRECV
    held = offer(audio=AUDIO.replace("a=sendrecv", "a=sendonly"))
    assert read(a_stream(), held).direction is Direction.RECVONLY


def test_video_and_data_are_declined_and_leave_the_bundle() -> None:
    stream = a_stream()
    read(stream, offer(more=VIDEO + DATA, mids="0 1 2"))
    lines = answer(stream)
    assert [line for line in lines if line.startswith("m=")] == [
        "m=audio 20000 UDP/TLS/RTP/SAVPF 0 126",
        "m=video 0 UDP/TLS/RTP/SAVPF 96",
        "m=application 0 UDP/DTLS/SCTP webrtc-datachannel",
    ]
    assert "a=group:BUNDLE 0" in lines
    assert [line for line in lines if line.startswith("a=mid:")] == ["a=mid:0", "a=mid:1", "a=mid:2"]


def test_without_a_group_or_a_mid_none_is_made_up() -> None:
    stream = a_stream()
    read(
        stream, offer(audio=AUDIO.replace("a=mid:0\n", ""), head=HEAD.replace("a=group:BUNDLE {mids}\n", ""))
    )
    assert not [line for line in answer(stream) if line.startswith(("a=mid", "a=group"))]


@pytest.mark.parametrize(
    ("setup", "is_client", "answered"),
    [("active", False, "passive"), ("passive", True, "active"), ("actpass", True, "active")],
)
def test_the_one_begins_and_the_other_waits(setup: str, is_client: bool, answered: str) -> None:
    stream = a_stream()
    audio = read(stream, offer(audio=AUDIO.replace("setup:actpass", f"setup:{setup}")))
    assert audio.browser is not None
    assert audio.browser.is_client is is_client
    assert f"a=setup:{answered}" in answer(stream)


def test_what_stands_ahead_of_the_media_holds_for_it() -> None:
    moved = [line for line in AUDIO.splitlines() if line.startswith(("a=ice-", "a=fingerprint", "a=setup"))]
    audio = "".join(f"{line}\n" for line in AUDIO.splitlines() if line not in moved)
    head = HEAD + "".join(f"{line}\n" for line in moved).format(theirs=THEIRS).replace("{", "{{")
    peer = read(a_stream(), offer(audio=audio, head=head)).browser
    assert peer is not None
    assert (peer.remote_ufrag, peer.digest) == ("Wxyz", b"\xcd" * 32)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("a=ice-ufrag:Wxyz\n", ""),
        ("a=ice-ufrag:Wxyz", "a=ice-ufrag:W z!"),
        ("a=ice-pwd:0123456789abcdefghijkl\n", ""),
        ("a=fingerprint:sha-256 {theirs}\n", ""),
        ("sha-256", "sha-1"),
        ("a=fingerprint:sha-256 {theirs}", "a=fingerprint:sha-256 CD:CD"),
        ("a=fingerprint:sha-256 {theirs}", "a=fingerprint:sha-256 none"),
        ("a=setup:actpass", "a=setup:holdconn"),
        ("a=rtcp-mux\n", ""),
        ("a=rtcp-mux\n", "a=rtcp-mux\na=inactive\n"),
    ],
)
def test_an_offer_that_lacks_what_is_needed_is_refused(old: str, new: str) -> None:
    changed = offer(audio=AUDIO.replace(old, new))
    if "inactive" in new:
        assert read(a_stream(), changed).direction is Direction.INACTIVE
        return
    with pytest.raises(NothingFits):
        a_stream().read(changed)


def test_of_two_lite_ends_nobody_would_check() -> None:
    with pytest.raises(NothingFits):
        a_stream().read(offer(head=HEAD + "a=ice-lite\n"))


def test_without_a_certificate_browsers_are_refused() -> None:
    with pytest.raises(NothingFits):
        a_stream(fingerprint="").read(offer())


def test_the_same_again_keeps_everything() -> None:
    stream = a_stream()
    first = read(stream, offer())
    answer(stream)
    assert read(stream, offer()) == first
    assert "a=setup:active" in stream.next_answer().decode().split("\r\n")


def test_other_credentials_begin_ice_anew_and_are_answered_with_new_ones() -> None:
    stream = a_stream()
    first = read(stream, offer()).browser
    answer(stream)
    again = read(stream, offer(audio=AUDIO.replace("Wxyz", "Abcd"))).browser
    assert first is not None
    assert again is not None
    assert again.local_ufrag != first.local_ufrag
    assert again.local_password != first.local_password
    assert (again.digest, again.is_client) == (first.digest, first.is_client), (
        "the handshake is not made again"
    )
    text = stream.next_answer().decode()
    assert f"a=ice-pwd:{again.local_password}\r\n" in text
    assert first.local_password not in text


def test_our_offer_has_opus_first_and_its_answer_says_who_begins() -> None:
    stream = a_stream("PCMU", "OPUS")
    stream.offer_to_browser()
    lines = stream.first_offer(LOCAL).decode().split("\r\n")
    assert "m=audio 20000 UDP/TLS/RTP/SAVPF 107 0 101 110" in lines
    for line in ("a=group:BUNDLE 0", "a=ice-lite", "a=mid:0", "a=setup:actpass", "a=rtcp-mux"):
        assert line in lines
    offered = next(line for line in lines if line.startswith("a=ice-pwd:"))
    peer = read(stream, offer(audio=AUDIO.replace("actpass", "active")), is_answer=True).browser
    assert peer is not None
    assert not peer.is_client
    assert f"a=ice-pwd:{peer.local_password}" == offered
    undecided = a_stream()
    undecided.offer_to_browser()
    undecided.first_offer(LOCAL)
    with pytest.raises(NothingFits):
        undecided.read(offer(), is_answer=True)


def test_holding_offers_the_same_ends_and_leaves_the_roles_as_they_are() -> None:
    stream = a_stream()
    before = read(stream, offer()).browser
    answer(stream)
    stream.hold_wanted = True
    lines = stream.next_offer().decode().split("\r\n")
    assert before is not None
    for line in ("a=sendonly", "a=setup:actpass", "a=group:BUNDLE 0", f"a=ice-pwd:{before.local_password}"):
        assert line in lines
    held = AUDIO.replace("actpass", "passive").replace("sendrecv", "recvonly")
    after = read(stream, offer(audio=held), is_answer=True)
    assert after.browser == before
    assert after.direction is Direction.SENDONLY


def test_each_branch_of_a_call_has_the_credentials_of_the_one_offer() -> None:
    stream = a_stream()
    stream.offer_to_browser()
    stream.first_offer(LOCAL)
    one, other = stream.fork(), stream.fork()
    answered = AUDIO.replace("actpass", "active")
    first = read(one, offer(audio=answered), is_answer=True).browser
    second = read(other, offer(audio=answered.replace("Wxyz", "Abcd")), is_answer=True).browser
    assert first is not None
    assert second is not None
    assert first.local_password == second.local_password


def test_a_telephones_offer_is_answered_as_before() -> None:
    stream = a_stream()
    body = (
        b"v=0\r\no=- 1 1 IN IP4 192.0.2.9\r\ns=-\r\nc=IN IP4 192.0.2.9\r\nt=0 0\r\nm=audio 6000 RTP/AVP 0\r\n"
    )
    assert read(stream, body).browser is None
    assert not [line for line in answer(stream) if "ice" in line or "fingerprint" in line]
