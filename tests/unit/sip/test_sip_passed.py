"""What of a media line crosses from one call to another, and what stays."""

from __future__ import annotations

from callrouter.ports import MediaAddress, PassedLine, Passing
from callrouter.sip.protocol import sdp
from callrouter.sip.protocol.passed import KINDS, by_slot, passable, write

HEAD = "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n"
AUDIO = "m=audio 4000 RTP/AVP 0\r\n"


def passed(*lines: str, kinds: frozenset[str] = KINDS, is_secret: bool = False) -> tuple[PassedLine, ...]:
    media = sdp.parse((HEAD + "".join(lines)).encode()).media
    return passable(media, kinds, is_secret=is_secret)


def test_all_but_addresses_crosses_and_is_read_again_as_it_was() -> None:
    (line,) = passed(
        AUDIO,
        "m=video 5000 RTP/SAVPF 97 98\r\nc=IN IP6 2001:db8::1\r\nb=TIAS:90000\r\na=rtpmap:97 H264/90000\r\n"
        "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:abc\r\na=rtcp:5009\r\na=candidate:1\r\na=rtcp-mux\r\n"
        "a=ssrc:7 cname:x\r\na=sendonly\r\n",
    )
    assert (line.slot, line.address) == (1, MediaAddress("2001:db8::1", 5000))
    assert line.control == MediaAddress("2001:db8::1", 5009)
    assert [name for name, _ in line.attributes] == ["rtpmap", "crypto", "rtcp-mux", "ssrc"]
    assert passed(AUDIO, write(line, "192.0.2.1"))[0].attributes == line.attributes
    assert "a=sendonly\r\n" in write(line, "192.0.2.1")


def test_what_is_switched_off_unknown_or_without_keys_does_not_cross() -> None:
    for line in (
        "m=video 0 RTP/AVP 97\r\n",
        "m=video 5000 UDP/TLS/RTP/SAVPF 97\r\n",
        "m=video 5000 RTP/SAVP 97\r\n",
        "m=image 5000 TCP t38\r\n",
        "m=application 5000 UDP/BFCP *\r\n",
        "m=video 5000 RTP/AVP 97\r\nc=IN IP4 224.2.1.1/127\r\n",
        "m=video 5000 RTP/AVP 97\r\nc=IN IP4 video.example.com\r\n",
    ):
        assert passed(AUDIO, line) == (), line
    fax = "m=image 5000 udptl t38\r\n"
    assert passed(AUDIO, fax, kinds=frozenset({"video"})) == ()
    assert len(passed(AUDIO, *[fax] * 20)) == 6


def test_keys_that_nobody_could_read_go_nowhere_they_can_be() -> None:
    keys = "m=video 5000 RTP/SAVP 97\r\na=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:abc\r\n"
    secret, known = passed(keys, is_secret=True), passed(keys)
    assert by_slot(Passing(secret), is_secret=False) == {}
    assert by_slot(Passing(secret), is_secret=True) == {0: secret[0]}
    assert by_slot(Passing(known), is_secret=False) == {0: known[0]}
