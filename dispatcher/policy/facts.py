"""What the rules look at.  Everything was gathered before; judging reads nothing and waits for
nothing, so that each rule is a function of these values alone."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass

from modules.subscriptions import Entitlement


class NumberState(enum.Enum):
    """What is known of the key number, on the account that the call belongs to."""

    ACTIVE = "active"
    INACTIVE = "inactive"
    UNKNOWN = "unknown"


class Party(enum.Enum):
    """What an entry of a policy list names."""

    CALLER = "caller"
    CALLEE = "callee"
    OWNER = "owner"
    MODULE = "module"


@dataclass(frozen=True, slots=True)
class Ban:
    """One entry of the banned lists."""

    party: Party
    pattern: str
    """A number, URI or code; `*` at the end covers everything that begins so."""
    account_sid: str = ""
    """Account it applies to, "" for every one."""
    reason: str = ""

    def covers(self, text: str) -> bool:
        if self.pattern.endswith("*"):
            return text.startswith(self.pattern[:-1])
        return text == self.pattern


@dataclass(frozen=True, slots=True)
class Facts:
    """One transfer of control, as policy sees it."""

    key_number: str
    number: NumberState
    parties: Mapping[Party, tuple[str, ...]]
    """Who takes part: caller, everybody called, and the owner and code of the module whose turn it is."""
    bans: tuple[Ban, ...]
    """Those of this account and of everybody."""
    account_sid: str
    """Who is judged and pays: whoever ordered the document, where that is not the call's account."""
    account_status: str
    """`active`, `suspended`, `closed`, or "" when there is no such account."""
    module: str
    module_active: bool
    module_open: bool
    entitlement: Entitlement
    now_ms: int
    prepaid: bool
    available: int
    """Micro-units left to spend; counts only where `prepaid`."""
    emergency: bool = False


@dataclass(frozen=True, slots=True)
class Denial:
    """A rule said no."""

    rule: str
    reason: str
    """One sentence for the developer: what was found, and what would change it."""
    spoken: str
    sip_status: int
    code: int = 0
