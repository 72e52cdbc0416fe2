"""Offers in the shapes that Chrome, Firefox and Safari give them, and the corners of such offers."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from callrouter.ports import Direction, MediaAddress, NegotiatedAudio
from callrouter.sip.protocol.offer import NothingFits
from callrouter.sip.protocol.stream import Stream

SHAPES = Path(__file__).parents[2] / "data/browsers"
LOCAL = MediaAddress("198.51.100.1", 20000)
DIGEST = bytes.fromhex("0A1B2C3D4E5F60718293A4B5C6D7E8F9" * 2)
FINGERPRINT = f"a=fingerprint:sha-256 {DIGEST.hex(':').upper()}\n"
BUNDLE_ONLY = "chrome_bundle_only"
_ICE = "a=ice-ufrag:eT4/\na=ice-pwd:Qb+0f0aM4Y9gk1J5mN6rWc2x\n"


def shape(name: str, *changes: tuple[str, str]) -> bytes:
    text = (SHAPES / f"{name}.sdp").read_text()
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new)
    return text.replace("\n", "\r\n").encode()


def a_stream() -> Stream:
    numbers = itertools.count(1)
    return Stream(
        ("OPUS", "PCMU", "PCMA"),
        lambda octets: f"{next(numbers):0{octets * 2}x}",
        fingerprint="sha-256 " + ":".join(["AB"] * 32),
    )


def read(stream: Stream, body: bytes, *, is_answer: bool = False) -> NegotiatedAudio:
    stream.agreed = stream.read(body, is_answer=is_answer)
    audio = stream.audio
    assert audio is not None
    return audio


def sections(body: bytes) -> list[list[str]]:
    """The lines of the session, then those of each media line."""
    found: list[list[str]] = [[]]
    for line in body.decode().split("\r\n"):
        if line.startswith("m="):
            found.append([])
        found[-1].append(line)
    return found


@pytest.mark.parametrize(
    ("name", "ufrag", "payload_types", "events_rate", "group", "taken"),
    [
        ("chrome", "Zq7n", (111, 110), 48000, "0", {"audio": True, "video": False, "application": False}),
        (BUNDLE_ONLY, "eT4/", (111, 110), 48000, "0 1", {"video": True, "audio": True}),
        ("firefox", "5c1e0a9d", (109, 101), 8000, "0", {"audio": True, "video": False}),
        ("safari", "Yc+p", (111, 110), 48000, "audio", {"audio": True}),
    ],
)
def test_each_is_answered_line_by_line(
    name: str,
    ufrag: str,
    payload_types: tuple[int, int],
    events_rate: int,
    group: str,
    taken: dict[str, bool],
) -> None:
    stream = a_stream()
    audio = read(stream, shape(name))
    peer = audio.browser
    assert peer is not None
    assert (peer.remote_ufrag, peer.hash, peer.digest) == (ufrag, "sha-256", DIGEST)
    assert (audio.codec, audio.payload_type, audio.dtmf_payload_type) == ("OPUS", *payload_types)
    assert (audio.dtmf_clock_rate, audio.direction) == (events_rate, Direction.SENDRECV)
    session, *media = sections(stream.first_answer(LOCAL))
    assert f"a=group:BUNDLE {group}" in session
    assert [lines[0].split()[0] for lines in media] == [f"m={kind}" for kind in taken]
    for (kind, is_taken), lines in zip(taken.items(), media, strict=True):
        assert lines[0].split()[1] == ("20000" if is_taken else "0")
        assert ("a=rtcp-mux" in lines) is is_taken
        assert ("a=sendrecv" in lines) is (kind == "audio")
        assert "a=bundle-only" not in lines, "that is for offers alone"


def test_the_line_that_speaks_for_the_bundle_is_kept_and_carries_nothing() -> None:
    """Chrome with `max-bundle` refuses an answer that declines it."""
    stream = a_stream()
    peer = read(stream, shape(BUNDLE_ONLY)).browser
    assert peer is not None
    _, video, audio = sections(stream.first_answer(LOCAL))
    assert video[:3] == ["m=video 20000 UDP/TLS/RTP/SAVPF 96", "a=rtpmap:96 VP8/90000", "a=inactive"]
    for line in ("a=setup:active", f"a=ice-ufrag:{peer.local_ufrag}", "a=rtcp-mux"):
        assert line in video
        assert line in audio
    assert ("a=mid:0" in video, "a=mid:1" in audio) == (True, True)
    stream.hold_wanted = True
    _, video, audio = sections(stream.next_offer())
    assert ("a=inactive" in video, "a=sendonly" in audio) == (True, True)
    assert ("a=setup:actpass" in video, "a=setup:actpass" in audio) == (True, True)


def test_data_that_speaks_for_the_bundle_is_declined() -> None:
    data = ("m=video 54321 UDP/TLS/RTP/SAVPF 96 97", "m=application 54321 UDP/DTLS/SCTP webrtc-datachannel")
    stream = a_stream()
    read(stream, shape(BUNDLE_ONLY, data))
    session, first, second = sections(stream.first_answer(LOCAL))
    assert "a=group:BUNDLE 1" in session
    assert (first[0].split()[1], second[0].split()[1]) == ("0", "20000")


def test_audio_behind_video_may_have_an_end_of_its_own() -> None:
    """Not every writer leaves it to the first line: what a line says of itself comes first."""
    own = "a=bundle-only\na=ice-ufrag:OwnU\na=ice-pwd:0123456789abcdefghijkl\na=setup:passive\n"
    peer = read(a_stream(), shape(BUNDLE_ONLY, ("a=bundle-only\n", own))).browser
    assert peer is not None
    assert (peer.remote_ufrag, peer.is_client, peer.digest) == ("OwnU", True, DIGEST)


@pytest.mark.parametrize(
    "change",
    [
        ("a=bundle-only\n", ""),
        ("a=group:BUNDLE 0 1", "a=group:BUNDLE 0"),
        ("a=group:BUNDLE 0 1", "a=group:LS 0 1"),
        ("a=group:BUNDLE 0 1\n", ""),
        ("a=mid:1\n", ""),
    ],
)
def test_port_0_outside_a_bundle_takes_the_line_back(change: tuple[str, str]) -> None:
    with pytest.raises(NothingFits):
        a_stream().read(shape(BUNDLE_ONLY, change))


def test_an_answer_with_port_0_declines_whatever_it_says() -> None:
    stream = a_stream()
    stream.offer_to_browser()
    stream.first_offer(LOCAL)
    with pytest.raises(NothingFits):
        stream.read(shape(BUNDLE_ONLY, ("actpass", "active")), is_answer=True)


def test_the_same_bundle_again_changes_nothing() -> None:
    stream = a_stream()
    first = read(stream, shape(BUNDLE_ONLY))
    stream.first_answer(LOCAL)
    assert read(stream, shape(BUNDLE_ONLY)) == first
    declined = shape(
        BUNDLE_ONLY,
        ("m=video 54321", "m=video 0"),
        ("a=group:BUNDLE 0 1", "a=group:BUNDLE 1"),
        ("m=audio 0", "m=audio 54321"),
        ("a=bundle-only\n", f"{_ICE}a=rtcp-mux\na=setup:actpass\n{FINGERPRINT}"),
    )
    assert read(stream, declined).browser == first.browser, "as it comes once video was declined"
    assert b"a=setup:active" in stream.next_answer()


@pytest.mark.parametrize(
    "change",
    [
        ("c=IN IP6 2001:db8:1::2a", "c=IN IP4 0.0.0.0"),
        ("c=IN IP6 2001:db8:1::2a", "c=IN IP4 0c2f7d4b-77aa-4f4e-9ad2-6a1f5b0f4a3e.local"),
        ("c=IN IP6 2001:db8:1::2a", "c=IN IP6 ::"),
        ("m=audio 50112", "m=audio 9"),
        ("a=rtcp:9 IN IP4 0.0.0.0\n", ""),
        ("typ host generation 0\n", "typ host generation 0\na=end-of-candidates\n"),
        ("a=candidate:1967344225 1 udp 2122262783 2001:db8:1::2a 50112 typ host generation 0\n", ""),
        ("a=candidate:1967344225 1 udp 2122262783 2001:db8:1::2a 50112", "a=candidate:x 1 udp y z.local 0"),
        ("a=candidate:1967344225", "a=remote-candidates:1 192.0.2.1 5000\na=candidate:1967344225"),
    ],
)
def test_where_a_browser_says_it_is_decides_nothing(change: tuple[str, str]) -> None:
    """Candidates of either family, of names that only its own network knows, or none yet."""
    plain, changed = read(a_stream(), shape("safari")), read(a_stream(), shape("safari", change))
    assert changed.browser == plain.browser
    assert (changed.codec, changed.direction) == (plain.codec, plain.direction)


@pytest.mark.parametrize(("name", "octets"), [("sha-256", 32), ("SHA-384", 48), ("sha-512", 64)])
def test_a_certificate_may_be_known_by_several_digests(name: str, octets: int) -> None:
    """The longest of those that are safe (RFC 8122 §5), wherever it stands among them."""
    weak = f"a=fingerprint:sha-1 {':'.join(['11'] * 20)}\n"
    better = f"a=fingerprint:{name} {':'.join(['5A'] * octets)}\n"
    for lines in (weak + better, better + weak):
        peer = read(a_stream(), shape("safari", (FINGERPRINT, lines))).browser
        assert peer is not None
        assert (peer.hash, peer.digest) == (name.lower(), b"\x5a" * octets)


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (("a=rtcp-mux\n", ""), "rtcp-mux"),
        ((FINGERPRINT, ""), "fingerprint"),
        ((FINGERPRINT, f"a=fingerprint:sha-1 {':'.join(['11'] * 20)}\n"), "sha-256"),
        (("a=ice-ufrag:Yc+p\n", ""), "ice-ufrag"),
        (("a=ice-pwd:l4bBvVfYxq2cWz9o0c5bq1Ha\n", ""), "ice-pwd"),
        (("a=setup:actpass", "a=setup:holdconn"), "setup:holdconn"),
        (("t=0 0\n", "t=0 0\na=ice-lite\n"), "ice-lite"),
    ],
)
def test_what_is_missing_is_named(change: tuple[str, str], fault: str) -> None:
    with pytest.raises(NothingFits, match=fault):
        a_stream().read(shape("safari", change))


@pytest.mark.parametrize(
    "said",
    [
        "minptime=10;useinbandfec=1;stereo=1;sprop-stereo=1",
        "maxptime=60;ptime=60;usedtx=1;cbr=1",
        "maxaveragebitrate=20000; maxplaybackrate = 16000 ;;x",
        "",
    ],
)
def test_wishes_about_opus_do_not_stand_in_its_way(said: str) -> None:
    body = shape("safari", ("minptime=10;useinbandfec=1", said), ("a=rtcp-mux\n", "a=rtcp-mux\na=ptime:60\n"))
    assert read(a_stream(), body).codec == "OPUS"


def test_lines_that_were_taken_back_stay_in_their_places() -> None:
    gone = "m=audio 0 UDP/TLS/RTP/SAVPF 0\r\nc=IN IP4 0.0.0.0\r\na=inactive\r\na=mid:old\r\n"
    before, after = shape("safari").split(b"m=audio", 1)
    stream = a_stream()
    assert read(stream, before + gone.encode() + b"m=audio" + after).payload_type == 111
    _, first, second = sections(stream.first_answer(LOCAL))
    assert (first[0].split()[1], second[0].split()[1]) == ("0", "20000")
    assert stream.agreed is not None
    assert stream.agreed.slot == 1
