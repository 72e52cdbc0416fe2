"""Media other than a call's audio, which the engine passes on unread from one leg to another."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NewType

from callrouter.ports.audio import MediaAddress
from callrouter.ports.leg_id import LegId

LineId = NewType("LineId", int)
"""A pair of ports of a leg, beside those of its audio; never used again."""


@dataclass(frozen=True, slots=True)
class OpenedLine:
    line: LineId
    local: MediaAddress
    """The address to put into SDP."""


@dataclass(frozen=True, slots=True)
class SetLine:
    """Where the far end hears a line, said again whenever signalling says it.  Whom it is heard from
    is settled as for audio."""

    leg: LegId
    line: LineId
    remote: MediaAddress
    control: MediaAddress | None = None
    """For RTCP; None: the next port."""
    framing: Literal["rtp", "udptl"] = "rtp"


@dataclass(frozen=True, slots=True)
class JoinLines:
    """Pass on to each of two legs what the other's line hears."""

    leg: LegId
    line: LineId
    other_leg: LegId
    other_line: LineId


@dataclass(frozen=True, slots=True)
class CloseLine:
    """Give back the ports; the leg goes on.  Closing a leg closes its lines."""

    leg: LegId
    line: LineId


LineCommand = SetLine | JoinLines | CloseLine
