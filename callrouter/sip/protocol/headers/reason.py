"""`Reason` (RFC 3326): why somebody ended a call, in words of SIP or of the telephone network."""

from __future__ import annotations

from dataclasses import dataclass

from callrouter.sip.protocol.grammar import displayable, number, parameter, parse_parameters, split, unquote
from callrouter.sip.protocol.message import Message

Q850 = {
    1: "unallocated number",
    2: "no route to transit network",
    3: "no route to destination",
    16: "normal call clearing",
    17: "user busy",
    18: "no user responding",
    19: "no answer from user",
    20: "subscriber absent",
    21: "call rejected",
    22: "number changed",
    26: "non-selected user clearing",
    27: "destination out of order",
    28: "invalid number format",
    29: "facility rejected",
    31: "normal, unspecified",
    34: "no circuit available",
    38: "network out of order",
    41: "temporary failure",
    42: "switching equipment congestion",
    47: "resource unavailable",
    50: "requested facility not subscribed",
    55: "incoming calls barred",
    57: "bearer capability not authorised",
    58: "bearer capability not available",
    63: "service not available",
    65: "bearer capability not implemented",
    79: "service not implemented",
    88: "incompatible destination",
    102: "recovery on timer expiry",
    111: "protocol error",
    127: "interworking, unspecified",
}
"""Causes of ITU-T Q.850 that are met in practice."""


@dataclass(frozen=True, slots=True)
class Reason:
    protocol: str
    """`SIP`, `Q.850` …, in upper case."""
    cause: int = 0
    """0 where there is none."""
    text: str = ""

    @classmethod
    def parse(cls, value: str) -> Reason:
        """One value, not a list.  Raises `ValueError`."""
        protocol, semicolon, rest = value.partition(";")
        if not protocol.strip():
            raise ValueError("Reason without a protocol")
        parameters = parse_parameters(rest) if semicolon else ()
        cause = parameter(parameters, "cause")
        text = displayable(unquote(parameter(parameters, "text") or ""))
        return cls(protocol.strip().upper(), number(cause, 999) if cause else 0, text)

    def __str__(self) -> str:
        """For people."""
        known = Q850.get(self.cause, "") if self.protocol == "Q.850" else ""
        words = self.text or known
        where = f"{self.protocol} {self.cause}" if self.cause else self.protocol
        return f"{words} ({where})" if words else where


def reasons_of(message: Message) -> tuple[Reason, ...]:
    """All that can be read, in order."""
    found = []
    for value in message.all("Reason"):
        try:
            found += [Reason.parse(part) for part in split(value, ",")]
        except ValueError:
            continue
    return tuple(found)


def told(message: Message) -> tuple[str, int]:
    """What a BYE or CANCEL says about itself: words for people, and the cause of Q.850 (0 = none)."""
    reasons = reasons_of(message)
    q850 = next((r.cause for r in reasons if r.protocol == "Q.850"), 0)
    return ", ".join(str(reason) for reason in reasons), q850
