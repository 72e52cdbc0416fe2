"""Offer and answer (RFC 3264) for one audio stream of G.711 with telephone events."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from callrouter.ports import BrowserPeer, Direction, MediaAddress, NegotiatedAudio, PassedLine, SrtpKeys
from callrouter.sip.protocol import browser
from callrouter.sip.protocol.addresses import is_unicast, is_unspecified
from callrouter.sip.protocol.browser import OwnEnd
from callrouter.sip.protocol.crypto import Crypto, OwnKeys, SrtpPolicy, chosen
from callrouter.sip.protocol.noise import COMFORT_NOISE, NoisePolicy, noise_number
from callrouter.sip.protocol.passed import declined, write_slots
from callrouter.sip.protocol.sdp import USUAL_PACKET_MS, Codec, MediaLine, SessionDescription

DEFAULT_CODECS = ("PCMU", "PCMA")
CHEAP_CODECS = frozenset({"PCMU", "PCMA"})
"""Nothing has to be decoded or encoded for them."""
_OURS = {
    "PCMU": Codec(0, "PCMU", 8000),
    "PCMA": Codec(8, "PCMA", 8000),
    "G722": Codec(9, "G722", 8000),
    "OPUS": Codec(107, "OPUS", 48000, "useinbandfec=1"),
}
"""As we offer them.  G.722 is written with 8000 by an old mistake (RFC 3551 §4.5.2)."""
_CHANNELS = {"OPUS": "/2"}
"""Part of a name, whatever is sent (RFC 7587 §4.1)."""
_EVENT_PAYLOAD_TYPES = {8000: 101, 48000: 110}
_EVENTS = "0-16"
_PACKETS_MS = (USUAL_PACKET_MS, 10, 5)
_UNCUT = frozenset({"OPUS"})
"""Their packets hold one frame of 20 ms, whatever the far end would like."""
_MIRROR = {
    Direction.SENDRECV: Direction.SENDRECV,
    Direction.SENDONLY: Direction.RECVONLY,
    Direction.RECVONLY: Direction.SENDONLY,
    Direction.INACTIVE: Direction.INACTIVE,
}
_NOWHERE = "0.0.0.0"  # noqa: S104 - as SDP writes it, not bound to
_CLEAR = ("RTP/AVP", "RTP/AVPF")
_PROTECTED = ("RTP/SAVP", "RTP/SAVPF")
NOTHING_PASSED: Mapping[int, PassedLine] = {}


class NothingFits(ValueError):
    """No audio stream of the description can be used: 488."""


class Agreement(NamedTuple):
    """What a description of the far end leads to."""

    audio: NegotiatedAudio
    slot: int
    """Which of its media lines carries the audio."""
    lines: tuple[MediaLine, ...]
    """All of them: an answer mirrors each."""
    crypto_tag: int = 0
    """Of the `a=crypto` that its keys are from."""
    bundle: tuple[str, ...] = ()
    """Mids of the group that the audio shares one port with; none: it is alone."""
    profile: str = _CLEAR[0]
    """Of the audio line, whatever is in its place now."""
    has_audio: bool = True
    """False: something else, passed on unread, has taken its place."""
    is_hold: bool = False
    """Whoever wrote it wants to hear nothing."""

    def is_switched_off_in(self, lines: tuple[MediaLine, ...]) -> bool:
        """They offer nothing at all for now, the audio neither: the rarest way to say hold (RFC 3264 §8.2).
        A browser's lines have no ports of their own."""
        is_there = self.slot < len(lines) and lines[self.slot].kind == "audio"
        return is_there and self.audio.browser is None and not any(line.port for line in lines)


class Terms(NamedTuple):
    """What we agree to."""

    codecs: tuple[str, ...] = DEFAULT_CODECS
    """Upper case names."""
    srtp: SrtpPolicy = SrtpPolicy.OFF
    keys: OwnKeys | None = None
    """Needed unless `srtp` is off."""
    end: OwnEnd | None = None
    """What browsers are shown; None: they cannot be served."""
    for_browser: bool = False
    """Offer what a browser needs, which a telephone does not know."""
    noise: NoisePolicy = NoisePolicy.MIRROR
    """Whether silence may be described instead of sent."""
    preferred: str = ""
    """Of the codecs the one that spares transcoding, "" = as the far end would have it."""
    withheld: frozenset[str] = frozenset()
    """Codecs that we have, and no time to decode and encode just now."""

    @property
    def offered(self) -> tuple[str, ...]:
        """The codecs in the order in which a telephone is offered them."""
        return tuple(sorted(self.codecs, key=lambda name: name != self.preferred))


USUAL = Terms()


def agree(
    remote: SessionDescription,
    terms: Terms = USUAL,
    *,
    before: NegotiatedAudio | None = None,
    is_answer: bool = False,
) -> Agreement:
    """The first audio line that has one of our codecs, of these the preferred one or the first, and is
    protected as the terms want it.  Reads offers and answers alike.  Raises `NothingFits`.

    `before` is what had been agreed within the call; `is_answer`: it is to an offer of ours.
    """
    faults = []
    for index, line in enumerate(remote.media):
        if line.kind != "audio":
            continue
        offered = {codec.name for codec in line.codecs()}
        if offered.isdisjoint(terms.codecs) and (withheld := sorted(terms.withheld & offered)):
            faults.append(f"the limit of transcoding is reached for {' and '.join(withheld)}")
        try:
            audio = _browsers(remote, line, terms, before, is_answer=is_answer)
        except browser.Unfit as fault:
            faults.append(str(fault))
            audio = None
        if audio is not None:
            bundle = browser.bundle_of(remote, line)
            return Agreement(audio, index, remote.media, bundle=bundle, profile=line.profile)
        if line.port == 0:
            continue
        crypto = _crypto(line, terms)
        if crypto is None and (line.profile not in _CLEAR or terms.srtp is SrtpPolicy.REQUIRED):
            faults.append(_unprotected(line, terms))
            continue
        audio = _audio(line, terms, before, is_answer=is_answer)
        if audio is None:
            continue
        if crypto is None or terms.keys is None:
            return Agreement(audio, index, remote.media, profile=line.profile)
        own = _own_key(terms.keys, crypto, audio, before, is_answer=is_answer)
        # Who names its key in packets is answered alike; our own offers name none.
        send_mki = b"" if is_answer else crypto.mki
        protected = replace(audio, keys=SrtpKeys(crypto.suite, own, crypto.key, send_mki, crypto.mki))
        return Agreement(protected, index, remote.media, crypto.tag, profile=line.profile)
    raise NothingFits(": ".join(["no usable audio stream", *faults[:1]]))


def _replaced(ours: int, theirs: int | None) -> int | None:
    """The payload type of our offer, where the answer has another one in its place."""
    return None if theirs in (None, ours) else ours


def _browsers(
    remote: SessionDescription,
    line: MediaLine,
    terms: Terms,
    before: NegotiatedAudio | None,
    *,
    is_answer: bool,
) -> NegotiatedAudio | None:
    """None where the line is not a browser's.  Raises `Unfit`."""
    if terms.end is None or line.profile not in browser.PROFILES:
        return None
    if not (line.port if is_answer else browser.is_offered(remote, line)):
        return None
    known = None if before is None else before.browser
    peer = browser.read(remote, line, terms.end, before=known, is_answer=is_answer)
    return None if peer is None else _audio(line, terms, before, peer, is_answer=is_answer)


def _unprotected(line: MediaLine, terms: Terms) -> str:
    """Why there are no keys for a line that needs some."""
    if line.profile not in (*_CLEAR, *_PROTECTED):
        return f"audio by {line.profile} is not spoken"
    if terms.srtp is SrtpPolicy.OFF:
        return "protected audio is not spoken here"
    if line.attribute("crypto") is None:
        return "no a=crypto"
    return "no a=crypto of a known suite with one key, without session parameters"


def _own_key(
    keys: OwnKeys, crypto: Crypto, audio: NegotiatedAudio, before: NegotiatedAudio | None, *, is_answer: bool
) -> bytes:
    """What we send with: what we did, unless who offers has moved and brings another key."""
    known = None if before is None else before.keys
    if before is None or known is None:
        return keys.of(crypto.suite)
    has_moved = before.remote != audio.remote and known.receive != crypto.key
    if has_moved and not is_answer:
        return keys.of(crypto.suite, crypto.key)
    return known.send if known.suite == crypto.suite else keys.of(crypto.suite)


def _crypto(line: MediaLine, terms: Terms) -> Crypto | None:
    """Keys in a line of the clear profile are an offer too: of protection, if we can do it."""
    if terms.srtp is SrtpPolicy.OFF or line.profile not in (*_CLEAR, *_PROTECTED):
        return None
    return chosen(value for name, value in line.attributes if name == "crypto")


def _audio(
    line: MediaLine,
    terms: Terms,
    before: NegotiatedAudio | None,
    peer: BrowserPeer | None = None,
    *,
    is_answer: bool,
) -> NegotiatedAudio | None:
    known = line.codecs()
    common = [c for c in known if c.name in terms.codecs and c.clock_rate == _OURS[c.name].clock_rate]
    # Where a browser is, its checks say, whatever it has written.
    host = line.host if peer is None or is_unicast(line.host) else _NOWHERE
    if not common or not is_unicast(host):
        return None
    chosen = next((c for c in common if c.name == terms.preferred), common[0])
    events = _events(known, chosen.clock_rate)
    direction = _MIRROR[line.direction]
    # A browser that trickles has no address to name yet.
    if peer is None and is_unspecified(host) and direction in (Direction.SENDRECV, Direction.SENDONLY):
        # The hold of RFC 2543: nothing may be sent to nowhere.
        direction = Direction.RECVONLY if direction is Direction.SENDRECV else Direction.INACTIVE
    events_number = None if events is None else events.payload_type
    events_rate = 8000 if events is None else events.clock_rate
    return NegotiatedAudio(
        remote=MediaAddress(host, line.port),
        remote_rtcp=_rtcp(line) if peer is None else None,
        codec=chosen.name,
        payload_type=chosen.payload_type,
        dtmf_payload_type=events_number,
        direction=direction,
        dtmf_clock_rate=events_rate,
        own_payload_type=_replaced(_OURS[chosen.name].payload_type, chosen.payload_type)
        if is_answer
        else None,
        own_dtmf_payload_type=_replaced(_EVENT_PAYLOAD_TYPES[events_rate], events_number)
        if is_answer
        else None,
        longest_ms=0 if chosen.name in _UNCUT else line.longest_ms,
        noise_payload_type=noise_number(chosen.name, known, terms.noise, before=before, is_answer=is_answer),
        browser=peer,
    )


def _events(known: tuple[Codec, ...], clock_rate: int) -> Codec | None:
    """Telephone events with the codec's clock (RFC 4733 §2.1), else with that of telephones: many
    offer nothing else."""
    events = [c for c in known if c.name == "TELEPHONE-EVENT" and c.clock_rate in (clock_rate, 8000)]
    return next((c for c in events if c.clock_rate == clock_rate), events[0] if events else None)


def _rtcp(line: MediaLine) -> MediaAddress | None:
    """Where its reports go: what `a=rtcp` says, else the next port."""
    if (named := line.reports) is not None:
        return named
    return MediaAddress(line.host, line.port + 1) if line.port < 65535 else None


class Description(NamedTuple):
    """Our side, as it is put into `o=`, `c=` and `m=`."""

    session_id: int
    version: int
    local: MediaAddress

    def next_version(self, local: MediaAddress) -> Description:
        return Description(self.session_id, self.version + 1, local)


def write_offer(
    ours: Description,
    direction: Direction,
    terms: Terms = USUAL,
    *,
    is_secret: bool = False,
    passed: Mapping[int, PassedLine] = NOTHING_PASSED,
) -> bytes:
    """`is_secret`: nobody but the far end will read it.  `passed` go behind the audio line, but not
    to browsers."""
    if terms.for_browser and terms.end is not None:
        return _browser_offer(ours, direction, terms, terms.end)
    is_offered = terms.srtp is SrtpPolicy.REQUIRED or (terms.srtp is SrtpPolicy.OPTIONAL and is_secret)
    cryptos = terms.keys.offer() if terms.keys is not None and is_offered else ()
    profile = _PROTECTED[0] if terms.srtp is SrtpPolicy.REQUIRED else _CLEAR[0]
    formats = _offered(terms.offered, has_noise=terms.noise is NoisePolicy.OFFER)
    line = _audio_line(ours, profile, formats, direction)
    audio = line + "".join(crypto.line() for crypto in cryptos)
    return (_session(ours) + write_slots(1, passed, ours.local.host, {0: audio})).encode()


class _Formats(NamedTuple):
    """The codecs of a media line as it is written: few combinations, and costly to write anew."""

    numbers: str
    """As they stand in the `m=` line."""
    maps: str
    """`a=rtpmap` and `a=fmtp`."""

    @classmethod
    def of(cls, codecs: Sequence[Codec]) -> _Formats:
        numbers = " ".join(str(codec.payload_type) for codec in codecs)
        return cls(numbers, "".join(_map(codec) for codec in codecs))


@functools.lru_cache(maxsize=64)
def _offered(names: tuple[str, ...], *, has_noise: bool = False) -> _Formats:
    """Our codecs of these names, with telephone events for each of their clocks."""
    known = [_OURS[name] for name in names]
    rates = sorted({codec.clock_rate for codec in known} | {8000})
    events = [Codec(_EVENT_PAYLOAD_TYPES[rate], "telephone-event", rate, _EVENTS) for rate in rates]
    return _Formats.of([*known, *([COMFORT_NOISE] if has_noise else []), *events])


def _browser_offer(ours: Description, direction: Direction, terms: Terms, end: OwnEnd) -> bytes:
    """Opus first, where we have it: it is what a browser does best."""
    names = tuple(sorted(terms.codecs, key=lambda name: name != "OPUS"))
    line = _audio_line(ours, browser.OFFERED, _offered(names), direction)
    mid = browser.FIRST_MID
    more = browser.media_lines(end, end.credentials.first, "actpass", mid, ours.local)
    return (_session(ours) + browser.session_lines((mid,)) + line + browser.STREAM + more).encode()


def write_renewal(
    ours: Description,
    agreed: Agreement,
    direction: Direction,
    terms: Terms = USUAL,
    passed: Mapping[int, PassedLine] = NOTHING_PASSED,
) -> bytes:
    """A later offer within the call: same lines in the same order (RFC 3264 §8), same codec."""
    return _described(ours, agreed, direction, terms, passed, is_offer=True)


def write_answer(
    ours: Description,
    agreed: Agreement,
    direction: Direction | None = None,
    terms: Terms = USUAL,
    passed: Mapping[int, PassedLine] = NOTHING_PASSED,
) -> bytes:
    """Mirrors every media line: the audio one accepted with a single codec, so that nobody changes
    it in mid-stream, those that are passed on as they are, all others with port 0."""
    return _described(ours, agreed, direction or agreed.audio.direction, terms, passed, is_offer=False)


def _described(
    ours: Description,
    agreed: Agreement,
    direction: Direction,
    terms: Terms,
    passed: Mapping[int, PassedLine],
    *,
    is_offer: bool,
) -> bytes:
    peer = agreed.audio.browser
    written: dict[int, str] = {}
    for index, line in enumerate(agreed.lines):
        is_off = line.port == 0 and peer is None and not is_offer
        if index == agreed.slot and agreed.has_audio and not is_off:
            written[index] = _agreed_line(ours, agreed, direction, terms, is_offer=is_offer)
            continue
        mid = browser.mid_of(line)
        if peer is not None and mid and mid in agreed.bundle:
            written[index] = browser.silent(line, ours.local)
            written[index] += _own_end(ours, agreed, line, terms, is_offer=is_offer)
            continue
        written[index] = declined(line)
        if peer is not None and mid:
            written[index] += f"a=mid:{mid}\r\n"
    head = _session(ours) + (browser.session_lines(agreed.bundle) if peer is not None else "")
    return (head + write_slots(len(written), passed, ours.local.host, written)).encode()


def _agreed_line(
    ours: Description, agreed: Agreement, direction: Direction, terms: Terms, *, is_offer: bool
) -> str:
    audio, line = agreed.audio, agreed.lines[agreed.slot]
    formats = _agreed(
        audio.codec,
        audio.payload_type,
        audio.noise_payload_type,
        audio.dtmf_payload_type,
        audio.dtmf_clock_rate,
    )
    text = _audio_line(ours, agreed.profile, formats, direction, _packet_ms(audio.longest_ms))
    if audio.keys is not None:
        text += Crypto(agreed.crypto_tag, audio.keys.suite, audio.keys.send, audio.keys.send_mki).line()
    if audio.browser is not None:
        text += browser.STREAM + _own_end(ours, agreed, line, terms, is_offer=is_offer)
    return text


def _own_end(ours: Description, agreed: Agreement, line: MediaLine, terms: Terms, *, is_offer: bool) -> str:
    """What a browser needs to come to us by a line."""
    peer = agreed.audio.browser
    if peer is None or terms.end is None:
        return ""
    setup = "actpass" if is_offer else "active" if peer.is_client else "passive"
    credentials = (peer.local_ufrag, peer.local_password)
    return browser.media_lines(terms.end, credentials, setup, browser.mid_of(line), ours.local)


def _session(ours: Description) -> str:
    host = ours.local.host
    family = "IP6" if ":" in host else "IP4"
    return (
        f"v=0\r\no=- {ours.session_id} {ours.version} IN {family} {host}\r\n"
        f"s=-\r\nc=IN {family} {host}\r\nt=0 0\r\n"
    )


@functools.lru_cache(maxsize=1024)
def _agreed(codec: str, number: int, noise: int | None, events: int | None, events_rate: int) -> _Formats:
    """One codec, and the numbers of what goes with it."""
    codecs = [_OURS[codec]._replace(payload_type=number)]
    if noise is not None:
        codecs.append(COMFORT_NOISE._replace(payload_type=noise))
    if events is not None:
        codecs.append(Codec(events, "telephone-event", events_rate, _EVENTS))
    return _Formats.of(codecs)


def _packet_ms(longest_ms: int) -> int:
    """Of what we send, and would like to receive from who takes no longer ones."""
    fitting = (packet_ms for packet_ms in _PACKETS_MS if not longest_ms or packet_ms <= longest_ms)
    return next(fitting, _PACKETS_MS[-1])


def _audio_line(
    ours: Description,
    profile: str,
    formats: _Formats,
    direction: Direction,
    packet_ms: int = USUAL_PACKET_MS,
) -> str:
    return (
        f"m=audio {ours.local.port} {profile} {formats.numbers}\r\n"
        f"{formats.maps}a=ptime:{packet_ms}\r\na={direction.value}\r\n"
    )


def _map(codec: Codec) -> str:
    name = "opus" if codec.name == "OPUS" else codec.name
    text = f"a=rtpmap:{codec.payload_type} {name}/{codec.clock_rate}{_CHANNELS.get(codec.name, '')}\r\n"
    return text + (f"a=fmtp:{codec.payload_type} {codec.fmtp}\r\n" if codec.fmtp else "")
