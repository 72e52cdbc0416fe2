"""Methods: those there are, and those this user agent serves."""

from __future__ import annotations

KNOWN = frozenset(
    {
        "INVITE",
        "ACK",
        "BYE",
        "CANCEL",
        "OPTIONS",
        "REGISTER",
        "INFO",
        "UPDATE",
        "PRACK",
        "SUBSCRIBE",
        "NOTIFY",
        "REFER",
        "MESSAGE",
        "PUBLISH",
    }
)
"""RFC 3261 and its extensions; methods are case-sensitive, so `invite` is not among them."""
ALLOWED = "INVITE, ACK, BYE, CANCEL, OPTIONS, INFO, UPDATE, PRACK, REFER, NOTIFY"
DIALOG_ONLY = frozenset({"BYE", "INFO", "UPDATE", "PRACK", "REFER", "NOTIFY"})
"""Mean nothing outside of a dialog."""
ACCEPTED = "application/sdp, multipart/mixed"
"""Body types an INVITE may carry; INFO has its own."""
SUPPORTED = "timer, 100rel, replaces, norefersub"
"""Option tags, as headers list them."""
SUPPORTED_OPTIONS = frozenset(SUPPORTED.split(", "))
"""Those that a peer may `Require`."""
