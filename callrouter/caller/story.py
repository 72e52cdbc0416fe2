"""What happened on a call, as the caller saw it."""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from callrouter.caller.hearing import Heard


class EndedBy(enum.Enum):
    NOBODY = "nobody"
    """The call is not over."""
    CALLER = "caller"
    CALLEE = "callee"
    REFUSED = "refused"
    """Never answered: `status` says with what."""
    FAILURE = "failure"


@dataclass(frozen=True, slots=True)
class Moment:
    at_ms: int
    """Since the call was placed."""
    what: str
    detail: str = ""

    def __str__(self) -> str:
        return f"{self.at_ms / 1000:8.3f} s  {self.what}{': ' if self.detail else ''}{self.detail}"


@dataclass(slots=True)
class Story:
    """One call.  Times are milliseconds since it was placed, None where it did not come to that."""

    number: str
    server: str
    tell: Callable[[Moment], None] = field(default=lambda _moment: None, repr=False)
    call_id: str = ""
    status: int = 0
    reason: str = ""
    ringing_ms: int | None = None
    answered_ms: int | None = None
    ended_ms: int | None = None
    ended_by: EndedBy = EndedBy.NOBODY
    heard: list[Heard] = field(default_factory=list)
    moments: list[Moment] = field(default_factory=list)
    recording: str = ""
    left_over: int = 0
    """Entries of the script whose turn never came."""

    def note(self, at_ms: int, what: str, detail: str = "") -> None:
        moment = Moment(at_ms, what, detail)
        self.moments.append(moment)
        self.tell(moment)

    @property
    def talked_ms(self) -> int:
        if self.answered_ms is None or self.ended_ms is None:
            return 0
        return self.ended_ms - self.answered_ms

    @property
    def broke_off(self) -> bool:
        """Answered, but ended by neither party."""
        return self.answered_ms is not None and self.ended_by is EndedBy.FAILURE

    def as_json(self) -> dict[str, Any]:
        """What `callrouter call --json` prints; times in milliseconds since the INVITE, None: did not
        happen."""
        return {
            "number": self.number,
            "server": self.server,
            "call_id": self.call_id,
            "status": self.status,
            "reason": self.reason,
            "ringing_ms": self.ringing_ms,
            "answered_ms": self.answered_ms,
            "ended_ms": self.ended_ms,
            "ended_by": self.ended_by.value,
            "talked_ms": self.talked_ms,
            "heard": [{"from_ms": heard.from_ms, "to_ms": heard.to_ms} for heard in self.heard],
            "moments": [
                {"at_ms": moment.at_ms, "what": moment.what, "detail": moment.detail}
                for moment in self.moments
            ],
            "recording": self.recording,
            "left_over": self.left_over,
        }

    def summary(self) -> str:
        if self.answered_ms is None:
            return f"not answered: {self.status} {self.reason}".rstrip()
        spoken = sum(heard.to_ms - heard.from_ms for heard in self.heard)
        return (
            f"talked {self.talked_ms / 1000:.3f} s, heard {spoken / 1000:.1f} s of sound, "
            f"hung up by {self.ended_by.value}"
        )
