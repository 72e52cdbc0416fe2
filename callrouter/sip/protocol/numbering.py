"""Telephone numbers between a carrier's way of writing them and E.164.

Inside of this program a number is E.164 with `+` wherever that can be told.  What is no number (a
name, a short code, a feature code) goes through unchanged but for the carrier's own rules.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Iterable
from dataclasses import dataclass

_SEPARATORS = re.compile(r"[\s().\-]")
_DIGITS = re.compile(r"[0-9]{3,32}")
_SHORTEST = 7
"""Digits below which a number without prefix is taken for a short code."""


class Style(enum.Enum):
    """How a carrier wants numbers."""

    E164 = "e164"
    """`+442071838750`"""
    DIGITS = "digits"
    """`442071838750`"""
    NATIONAL = "national"
    """`02071838750` in the country, `0012125550100` beyond it."""
    INTERNATIONAL = "international"
    """`00442071838750`"""


class Bare(enum.Enum):
    """What digits without any prefix mean when a carrier sends them."""

    KEPT = "kept"
    NATIONAL = "national"
    INTERNATIONAL = "international"


@dataclass(frozen=True, slots=True)
class Rewrite:
    """Numbers that start with `prefix` lose it and get `replacement` instead."""

    prefix: str
    replacement: str


@dataclass(frozen=True, slots=True)
class NumberFormat:
    style: Style = Style.E164
    country_code: str = ""
    """Digits: `44`.  "" = numbers without a country cannot be told."""
    national_prefix: str = "0"
    international_prefix: str = "00"
    bare: Bare = Bare.KEPT
    rules_in: tuple[Rewrite, ...] = ()
    rules_out: tuple[Rewrite, ...] = ()

    def incoming(self, text: str) -> str:
        """A number as the carrier writes it, in E.164 if that can be told."""
        number = _rewritten(text, self.rules_in)
        compact = _SEPARATORS.sub("", number)
        if compact.startswith("+"):
            return compact if _DIGITS.fullmatch(compact[1:]) else number
        if not _DIGITS.fullmatch(compact):
            return number
        return self._international(compact)

    def _international(self, digits: str) -> str:
        if self.international_prefix and digits.startswith(self.international_prefix):
            return f"+{digits.removeprefix(self.international_prefix)}"
        if self.country_code and self.national_prefix and digits.startswith(self.national_prefix):
            return f"+{self.country_code}{digits.removeprefix(self.national_prefix)}"
        if len(digits) < _SHORTEST:
            return digits
        if self.bare is Bare.INTERNATIONAL:
            return f"+{digits}"
        if self.bare is Bare.NATIONAL and self.country_code:
            return f"+{self.country_code}{digits}"
        return digits

    def outgoing(self, number: str) -> str:
        """An E.164 number as the carrier wants it; what is none, only by its rules."""
        if number.startswith("+") and _DIGITS.fullmatch(number[1:]):
            number = self._styled(number[1:])
        return _rewritten(number, self.rules_out)

    def _styled(self, digits: str) -> str:
        if self.style is Style.E164:
            return f"+{digits}"
        if self.style is Style.DIGITS:
            return digits
        is_national = self.style is Style.NATIONAL and self.country_code != ""
        rest = digits.removeprefix(self.country_code)
        # A rest that begins like the prefix would be read as something else: no such number exists.
        is_clear = not self.national_prefix or not rest.startswith(self.national_prefix)
        if is_national and rest != digits and is_clear:
            return f"{self.national_prefix}{rest}"
        return f"{self.international_prefix}{digits}"


def owns(patterns: Iterable[str], number: str) -> bool:
    """`number` is one of `patterns`, `*` at the end of which stands for any rest."""
    return any(number.startswith(p[:-1]) if p.endswith("*") else number == p for p in patterns)


def _rewritten(number: str, rules: Iterable[Rewrite]) -> str:
    for rule in rules:
        if number.startswith(rule.prefix):
            return rule.replacement + number.removeprefix(rule.prefix)
    return number
