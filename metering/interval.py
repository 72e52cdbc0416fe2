"""What is metered: one interval of a call's track.

A call's intervals partition its life: each starts at the millisecond where the one before it ended,
the first at the INVITE, the last ends with the call (docs/design.md §2, §4 rules 6 and 7).
"""

from __future__ import annotations

import enum
from dataclasses import dataclass


class Mode(enum.Enum):
    """Operational mode: what kind of work the controlling module does, for the rate to apply."""

    SETUP = "setup"
    """Before answer: recorded, not priced unless the plan says so."""
    BRIDGE = "bridge"
    """Endpoints are joined and no document executes."""
    APPLICATION = "application"
    """A customer's documents execute."""
    SERVICE = "service"
    """A packaged service runs."""


class Cause(enum.Enum):
    """What made control pass (the causes of a transfer, docs/design.md §2)."""

    ARRIVAL = "arrival"
    """The call began: INVITE received or sent."""
    ANSWER = "answer"
    VERB = "verb"
    OUTLET = "outlet"
    API = "api"
    EVENT = "event"
    SIP = "sip"
    POLICY = "policy"
    FALLBACK = "fallback"
    RESUME = "resume"
    HANGUP = "hangup"
    RECOVERY = "recovery"
    """Closed after the worker that ran the call had died."""


@dataclass(frozen=True, slots=True)
class Holder:
    """Who holds a call during an interval, and who answers for it."""

    module: str
    """Identity code, `owner.name`."""
    owner: str
    mode: Mode
    instance: str = ""
    """Instance of the container application, "" outside of one."""
    application: str = ""
    """AP… of the container application, "" outside of one."""
    via: str = ""
    """For `platform.bridge`: the module that dialled."""
    on_behalf_of: str = ""
    """Account that ordered a document running on somebody else's leg."""
    driven_by: str = ""
    """CA… of the parent whose verb drives this dialled call; such time is rated zero unless the
    plan prices legs."""
    plan: str = ""
    """Code of the usage plan that prices it, "" = the module's default plan."""


@dataclass(frozen=True, slots=True)
class CallFacts:
    """What every interval of a call has in common."""

    call_sid: str
    session_sid: str
    """The root call's sid."""
    account_sid: str
    key_number: str
    """The number everything on this call is metered to."""
    parent_sid: str = ""


@dataclass(frozen=True, slots=True)
class Interval:
    """A closed or running stretch of control; times are UTC milliseconds derived from the session's
    anchor and the monotonic clock, so differences are exact monotonic milliseconds."""

    call: CallFacts
    sequence: int
    """0, 1, 2 … within the call's track."""
    holder: Holder
    start_ms: int
    cause: Cause
    """Why it began."""
    end_ms: int | None = None
    end_cause: Cause | None = None
    estimated: bool = False
    """Closed by recovery at the last heartbeat."""

    @property
    def duration_ms(self) -> int | None:
        return None if self.end_ms is None else self.end_ms - self.start_ms

    def closed(self, end_ms: int, end_cause: Cause, *, estimated: bool = False) -> Interval:
        """The same interval, which ended then."""
        return Interval(
            self.call, self.sequence, self.holder, self.start_ms, self.cause, end_ms, end_cause, estimated
        )
