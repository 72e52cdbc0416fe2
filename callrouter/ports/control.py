"""What the API may do with calls."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from callrouter.ports.call import Interrupt, MachineDetection


@dataclass(frozen=True, slots=True)
class NewCall:
    """A validated order of the REST API; exactly one of `target` and `twiml` is set."""

    account_sid: str
    to: str
    from_: str
    target: str = ""
    twiml: str = ""
    method: Literal["GET", "POST"] = "POST"
    fallback: str = ""
    fallback_method: Literal["GET", "POST"] = "POST"
    status_callback: str = ""
    status_callback_method: Literal["GET", "POST"] = "POST"
    status_callback_events: frozenset[str] = frozenset({"completed"})
    timeout_seconds: int = 60
    time_limit_seconds: int = 14400
    send_digits: str = ""
    record: bool = False
    caller_name: str = ""
    username: str = ""
    password: str = ""
    detection: MachineDetection | None = None


class CallControl(Protocol):
    """What REST may do to calls.  Reading is done from the tables of `calls/records.py`."""

    async def create(self, order: NewCall) -> str:
        """Queue an outgoing call and return its sid; it is in the table when this returns."""

    async def interrupt(self, sid: str, cause: Interrupt) -> bool:
        """Deliver `cause`; False when no such call is live here."""

    async def cancel(self, sid: str) -> bool:
        """End the call only if it has not been answered; False when it has, or is not live."""

    def transfer_token(self, sid: str, target: str, seconds: int = 300) -> str | None:
        """A token with which a party of the call `sid` may move it to `target` by a SIP message, once,
        within `seconds`; None when no such call is live here."""

    def live(self, sid: str) -> Mapping[str, Any] | None:
        """Snapshot for `/v1/sessions` of a live call, None when it is not live here; what the table
        of calls has too is named as there."""
