"""Keys in session descriptions: which are taken, which are not, and what is written."""

from __future__ import annotations

import base64

import pytest

from callrouter.ports import Direction, MediaAddress
from callrouter.sip.protocol import sdp
from callrouter.sip.protocol.crypto import SUITES, Crypto, OwnKeys, SrtpPolicy, chosen
from callrouter.sip.protocol.offer import (
    Agreement,
    Description,
    NothingFits,
    Terms,
    agree,
    write_answer,
    write_offer,
)
from callrouter.sip.protocol.stream import Stream

HEAD = "v=0\r\no=- 1 1 IN IP4 192.0.2.9\r\ns=-\r\nc=IN IP4 192.0.2.9\r\nt=0 0\r\n"
OURS = Description(7, 3, MediaAddress("198.51.100.1", 4000))
CM80, CM32, GCM256 = "AES_CM_128_HMAC_SHA1_80", "AES_CM_128_HMAC_SHA1_32", "AEAD_AES_256_GCM"


def inline(suite: str, octet: int = 1) -> str:
    return "inline:" + base64.b64encode(bytes([octet]) * SUITES[suite]).decode()


def tokens(size: int) -> str:
    return "ab" * size


class Tokens:
    """Different ones each time."""

    def __init__(self) -> None:
        self._octet = 0

    def __call__(self, size: int) -> str:
        self._octet += 1
        return f"{self._octet:02x}" * size


def terms(policy: SrtpPolicy = SrtpPolicy.OPTIONAL) -> Terms:
    return Terms(srtp=policy, keys=OwnKeys(tokens))


def agreed(policy: SrtpPolicy, *lines: str) -> Agreement:
    return agree(sdp.parse((HEAD + "".join(f"{line}\r\n" for line in lines)).encode()), terms(policy))


@pytest.mark.parametrize("suite", SUITES)
def test_every_suite_is_read_and_written_back(suite: str) -> None:
    crypto = Crypto.parse(f"3 {suite} {inline(suite)}")
    assert crypto is not None
    assert (crypto.tag, crypto.suite, crypto.key) == (3, suite, b"\x01" * SUITES[suite])
    assert Crypto.parse(crypto.line().removeprefix("a=crypto:").strip()) == crypto


@pytest.mark.parametrize(
    "value",
    [
        "",
        "1",
        f"1 {CM80}",
        f"x {CM80} {inline(CM80)}",
        f"1 F8_128_HMAC_SHA1_80 {inline(CM80)}",
        f"1 {CM80} {inline(GCM256)}",
        f"1 {CM80} inline:!!!!",
        f"1 {CM80} uri:https://keys.example.com",
        f"1 {CM80} {inline(CM80)}|2^20|1:0",
        f"1 {CM80} {inline(CM80)}|2^20|256:1",
        f"1 {CM80} {inline(CM80)}|1:129",
        f"1 {CM80} {inline(CM80)}|x:4",
        f"1 {CM80} {inline(CM80)}|1:4|2^20",
        f"1 {CM80} {inline(CM80)};{inline(CM80)}",
        f"1 {CM80} {inline(CM80)} UNENCRYPTED_SRTP",
        f"1 {CM80} {inline(CM80)} KDR=3",
    ],
)
def test_what_we_cannot_do_all_of_is_not_chosen(value: str) -> None:
    assert Crypto.parse(value) is None


def test_a_lifetime_and_a_window_are_no_hindrance() -> None:
    assert Crypto.parse(f"1 {CM80} {inline(CM80)}|2^31 WSH=128") is not None


@pytest.mark.parametrize(
    ("parameters", "mki"),
    [
        ("|1:1", b"\1"),
        ("|2^31|1:4", b"\0\0\0\1"),
        ("|4294967295:4", b"\xff" * 4),
        ("|7:128", bytes(127) + b"\7"),
    ],
)
def test_a_key_that_packets_name_is_read_and_written(parameters: str, mki: bytes) -> None:
    crypto = Crypto.parse(f"1 {CM80} {inline(CM80)}{parameters}")
    assert crypto is not None
    assert crypto.mki == mki
    assert Crypto.parse(crypto.line().removeprefix("a=crypto:").strip()) == crypto


def test_the_first_that_fits_is_chosen() -> None:
    values = [f"1 UNKNOWN {inline(CM80)}", f"2 {CM32} {inline(CM32)}", f"3 {CM80} {inline(CM80)}"]
    found = chosen(values)
    assert found is not None
    assert (found.tag, found.suite) == (2, CM32)


def test_keys_are_not_shown() -> None:
    crypto = Crypto(1, CM80, b"very secret octets")
    assert "secret" not in repr(crypto)


def test_a_protected_offer_is_answered_with_its_tag_and_our_key() -> None:
    found = agreed(SrtpPolicy.OPTIONAL, "m=audio 6000 RTP/SAVP 0", f"a=crypto:5 {CM80} {inline(CM80)}|2^20")
    assert found.audio.keys is not None
    assert found.audio.keys.receive == b"\x01" * 30
    assert found.audio.keys.send == b"\xab" * 30
    answer = write_answer(OURS, found).decode()
    assert "m=audio 4000 RTP/SAVP 0\r\n" in answer
    assert answer.count("a=crypto:") == 1
    assert f"a=crypto:5 {CM80} inline:{base64.b64encode(bytes([0xAB]) * 30).decode()}\r\n" in answer


def test_who_names_its_key_in_packets_is_answered_alike() -> None:
    found = agreed(
        SrtpPolicy.OPTIONAL, "m=audio 6000 RTP/SAVP 0", f"a=crypto:5 {CM80} {inline(CM80)}|2^31|9:4"
    )
    assert found.audio.keys is not None
    assert (found.audio.keys.mki, found.audio.keys.send_mki) == (b"\0\0\0\x09",) * 2
    answer = write_answer(OURS, found).decode()
    assert f"inline:{base64.b64encode(bytes([0xAB]) * 30).decode()}|9:4\r\n" in answer


def test_keys_in_a_clear_line_are_an_offer_too() -> None:
    line = ("m=audio 6000 RTP/AVP 0", f"a=crypto:1 {CM80} {inline(CM80)}")
    assert agreed(SrtpPolicy.OPTIONAL, *line).audio.keys is not None
    off = agreed(SrtpPolicy.OFF, *line)
    assert off.audio.keys is None
    assert "crypto" not in write_answer(OURS, off).decode()


def test_without_protection_a_protected_line_is_of_no_use() -> None:
    with pytest.raises(NothingFits):
        agreed(SrtpPolicy.OFF, "m=audio 6000 RTP/SAVP 0", f"a=crypto:1 {CM80} {inline(CM80)}")
    with pytest.raises(NothingFits):
        agreed(SrtpPolicy.OPTIONAL, "m=audio 6000 RTP/SAVP 0", "a=crypto:1 UNKNOWN inline:AAAA")


@pytest.mark.parametrize(
    ("policy", "lines", "fault"),
    [
        (SrtpPolicy.OFF, ("m=audio 6000 RTP/SAVP 0", f"a=crypto:1 {CM80} {inline(CM80)}"), "not spoken here"),
        (SrtpPolicy.REQUIRED, ("m=audio 6000 RTP/AVP 0",), "no a=crypto$"),
        (
            SrtpPolicy.OPTIONAL,
            ("m=audio 6000 RTP/SAVP 0", f"a=crypto:1 {CM80} {inline(CM80)}|1:4;{inline(CM80)}|2:4"),
            "one key",
        ),
        (SrtpPolicy.OPTIONAL, ("m=audio 6000 TCP/RTP/AVP 0",), "TCP/RTP/AVP"),
    ],
)
def test_why_there_is_no_protection_is_said(policy: SrtpPolicy, lines: tuple[str, ...], fault: str) -> None:
    with pytest.raises(NothingFits, match=fault):
        agreed(policy, *lines)


def test_where_it_is_required_clear_audio_is_refused() -> None:
    with pytest.raises(NothingFits):
        agreed(SrtpPolicy.REQUIRED, "m=audio 6000 RTP/AVP 0")
    both = agreed(
        SrtpPolicy.REQUIRED,
        "m=audio 6000 RTP/AVP 0",
        "m=audio 6002 RTP/SAVP 0",
        f"a=crypto:1 {GCM256} {inline(GCM256)}",
    )
    assert both.slot == 1
    assert "m=audio 0 RTP/AVP 0" in write_answer(OURS, both).decode()


def test_an_offer_carries_keys_only_as_the_policy_says() -> None:
    def offered(policy: SrtpPolicy, *, is_secret: bool) -> str:
        return write_offer(OURS, Direction.SENDRECV, terms(policy), is_secret=is_secret).decode()

    assert "crypto" not in offered(SrtpPolicy.OFF, is_secret=True)
    assert "crypto" not in offered(SrtpPolicy.OPTIONAL, is_secret=False), "anybody could read the keys"
    optional = offered(SrtpPolicy.OPTIONAL, is_secret=True)
    assert "m=audio 4000 RTP/AVP " in optional
    assert optional.count("a=crypto:") == len(SUITES)
    assert "m=audio 4000 RTP/SAVP " in offered(SrtpPolicy.REQUIRED, is_secret=False)


def test_an_answer_without_keys_is_clear_audio_or_no_call() -> None:
    stream = Stream(("PCMU",), tokens, SrtpPolicy.OPTIONAL)
    stream.first_offer(OURS.local, is_secret=True)
    clear = (HEAD + "m=audio 6000 RTP/AVP 0\r\n").encode()
    assert stream.read(clear, is_answer=True).audio.keys is None
    stream.protect(SrtpPolicy.REQUIRED)
    with pytest.raises(NothingFits):
        stream.read(clear, is_answer=True)


def test_our_key_stays_the_same_through_hold_and_resume() -> None:
    stream = Stream(("PCMU",), Tokens(), SrtpPolicy.REQUIRED)
    offer = stream.first_offer(OURS.local)
    assert stream.first_offer(OURS.local) == offer, "sent again, it is the same offer"
    answer = HEAD + f"m=audio 6000 RTP/SAVP 0\r\na=crypto:3 {CM80} {inline(CM80)}\r\n"
    stream.agreed = stream.read(answer.encode(), is_answer=True)
    first = stream.tell()
    assert first is not None
    stream.hold_wanted = True
    renewal = stream.next_offer().decode()
    assert "m=audio 4000 RTP/SAVP 0" in renewal
    (ours,) = [line for line in offer.decode().splitlines() if line.startswith(f"a=crypto:3 {CM80}")]
    assert [line for line in renewal.splitlines() if line.startswith("a=crypto")] == [ours]
    stream.agreed = stream.read(answer.encode(), is_answer=True)
    stream.hold_wanted = False
    assert stream.audio == first, "nothing new to tell"


def keyed(key: int, port: int = 6000, suite: str = CM80) -> bytes:
    """An offer of a far end with a key of that octet."""
    value = base64.b64encode(bytes([key]) * SUITES[suite]).decode()
    return (HEAD + f"m=audio {port} RTP/SAVP 0\r\na=crypto:1 {suite} inline:{value}\r\n").encode()


def test_a_new_key_of_a_far_end_that_stays_leaves_ours() -> None:
    stream = Stream(("PCMU",), Tokens(), SrtpPolicy.REQUIRED)
    stream.agreed = stream.read(keyed(1))
    first = stream.agreed.audio.keys
    stream.first_answer(OURS.local)
    stream.agreed = stream.read(keyed(2))
    renewed = stream.agreed.audio.keys
    assert first is not None
    assert renewed is not None
    assert (renewed.send, renewed.receive) == (first.send, b"\x02" * 30)


def test_a_far_end_that_moves_with_a_new_key_is_given_one_of_ours() -> None:
    """However often its offer is read, and for as long as it stays there."""
    stream = Stream(("PCMU",), Tokens(), SrtpPolicy.REQUIRED)
    stream.agreed = stream.read(keyed(1))
    first = stream.agreed.audio.keys
    stream.first_answer(OURS.local)
    assert stream.read(keyed(1, port=6002)).audio.keys == first, "an address alone changes nothing"
    moved = stream.read(keyed(2, port=6002)).audio.keys
    assert stream.read(keyed(2, port=6002)).audio.keys == moved
    stream.agreed = stream.read(keyed(2, port=6002))
    assert first is not None
    assert moved is not None
    assert moved.send != first.send
    value = base64.b64encode(moved.send).decode()
    assert f"a=crypto:1 {CM80} inline:{value}\r\n" in stream.next_answer().decode()
    assert stream.read(keyed(2, port=6002)).audio.keys == moved
    assert f"inline:{value}\r\n" in stream.next_offer().decode()


def test_another_suite_in_mid_call_has_a_key_of_its_own() -> None:
    stream = Stream(("PCMU",), Tokens(), SrtpPolicy.REQUIRED)
    stream.agreed = stream.read(keyed(1))
    stream.first_answer(OURS.local)
    changed = stream.read(keyed(3, suite=GCM256)).audio.keys
    assert changed is not None
    assert (changed.suite, len(changed.send), len(changed.receive)) == (GCM256, 44, 44)
