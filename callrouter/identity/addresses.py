"""Addresses: what can be called here, whose it is, and where such a call starts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Address:
    """A number in E.164, a `sip:user@host` or a `client:name`."""

    address: str
    account_sid: str
    key_number: str
    """Number its calls are metered to: its own, or the one a user is registered under."""
    target: str
    method: Literal["GET", "POST"] = "POST"
    fallback: str = ""
    """Target when the first document cannot be had."""
    fallback_method: Literal["GET", "POST"] = "POST"
    status_callback: str = ""
    status_callback_method: Literal["GET", "POST"] = "POST"
    active: bool = True
