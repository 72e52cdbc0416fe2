"""Digits in INFO bodies: `application/dtmf-relay` (`Signal=5`, `Duration=160`) and
`application/dtmf` (the digit alone)."""

from __future__ import annotations

from callrouter.sip.protocol.grammar import number

RELAY = "application/dtmf-relay"
TYPES = (RELAY, "application/dtmf")
DEFAULT_MS = 160
_DIGITS = "0123456789*#ABCD"
_NUMBERED = {"10": "*", "11": "#", "12": "A", "13": "B", "14": "C", "15": "D"}


def read(content_type: str, body: bytes) -> tuple[str, int]:
    """The digit and its duration in milliseconds.  Raises `ValueError`."""
    text = body[:512].decode("ascii", "replace")
    signal, duration = text, ""
    if content_type == RELAY:
        values = {}
        for line in text.splitlines():
            name, _, value = line.partition("=")
            values[name.strip().lower()] = value.strip()
        signal, duration = values.get("signal", ""), values.get("duration", "")
    signal = signal.strip().upper()
    digit = _NUMBERED.get(signal, signal)
    if len(digit) != 1 or digit not in _DIGITS:
        raise ValueError(f"not a DTMF signal: {signal[:10]!r}")
    try:
        return digit, number(duration, 10_000) or DEFAULT_MS
    except ValueError:
        return digit, DEFAULT_MS


def write(digit: str) -> bytes:
    """A body of the type `RELAY`."""
    return f"Signal={digit}\r\nDuration={DEFAULT_MS}\r\n".encode()
