"""Media lines that two calls exchange through us and nobody here reads: video, fax."""

from __future__ import annotations

from dataclasses import dataclass, field

from callrouter.ports.audio import Direction, MediaAddress


@dataclass(frozen=True, slots=True)
class PassedLine:
    """An `m=` line of somebody's session description, with all that may cross to somebody else."""

    slot: int
    """Which of the description's lines it is, from 0."""
    kind: str
    """`video` or `image`."""
    profile: str
    """Upper case: `RTP/AVP`, `UDPTL` …"""
    formats: tuple[str, ...]
    address: MediaAddress
    """Where its writer hears it."""
    control: MediaAddress | None = None
    """Where its writer hears RTCP; None: there is none, or at the next port."""
    direction: Direction = Direction.SENDRECV
    """As written."""
    bandwidths: tuple[str, ...] = ()
    """Values of its `b=` lines."""
    attributes: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    """Without those that name addresses, or bind it to other lines; keys are among them."""
    is_secret: bool = False
    """Nobody on the way could read it: keys in it must not go where somebody can."""

    @property
    def is_fax(self) -> bool:
        return self.kind == "image"


@dataclass(frozen=True, slots=True)
class Passing:
    """All that is passed by one description."""

    lines: tuple[PassedLine, ...] = ()
    has_audio: bool = True
    """False while a fax has taken the place of the call's audio."""


AUDIO_ALONE = Passing()


@dataclass(frozen=True, slots=True)
class LinesOffered:
    """The far end wants other lines, or none any more; `SipLeg.answer_lines` answers it."""

    at_ns: int
    offered: Passing


@dataclass(frozen=True, slots=True)
class LinesRetracted:
    """What `LinesOffered` told is wanted no more, and has been answered."""

    at_ns: int


@dataclass(frozen=True, slots=True)
class LinesReset:
    """Another far end has taken the place of the one there was (RFC 3891), with audio alone so far."""

    at_ns: int


@dataclass(frozen=True, slots=True)
class LinesAnswered:
    """What came of `SipLeg.offer_lines`; or, unasked, what the far end can now be passed."""

    at_ns: int
    status: int
    """200, or that of a refusal: then everything is as it was."""
    answered: Passing


LineEvent = LinesOffered | LinesRetracted | LinesAnswered | LinesReset
