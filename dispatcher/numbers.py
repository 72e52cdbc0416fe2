"""Initial mapping: from the address a call came to, to where it starts.

Carriers and phones spell one number in many ways; the table has one.  Every spelling of `address`
that means the same number is tried, the one as received first.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from urllib.parse import unquote

import phonenumbers

from callrouter.identity.addresses import Address

_NUMBER = re.compile(r"\+?[0-9][0-9().\s-]{0,40}")
_SEPARATORS = re.compile(r"[().\s-]")
_SIP_SCHEMES = ("sip:", "sips:")


@lru_cache(maxsize=4096)
def normalised(number: str, region: str | None = None) -> str:
    """`number` in E.164 with `+` where it can be read as one, otherwise as received.

    `region` (ISO 3166, two letters) is the country that numbers without a prefix belong to.  A
    number need not be in service, nor in a plan that is known: only its form is looked at."""
    text = number.strip()
    if not _NUMBER.fullmatch(text):
        return number
    try:
        parsed = phonenumbers.parse(text, region)
    except phonenumbers.NumberParseException:
        return _SEPARATORS.sub("", text)
    return str(phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164))


def spellings(address: str, region: str | None = None) -> Iterator[str]:
    """The keys under which `address` may be listed, most literal first.

    `address` is a number, `tel:`, `client:name`, `sip:user@host;…`, or a bare user part."""
    address = address.strip()
    yield address
    lowered = address.lower()
    if lowered.startswith(_SIP_SCHEMES):
        yield from _sip_spellings(address, region)
    elif lowered.startswith("tel:"):
        yield from _number_spellings(address[4:].partition(";")[0], region)
    else:
        yield from _number_spellings(address, region)


def find(mappings: Mapping[str, Address], address: str, region: str | None = None) -> Address | None:
    """The mapping of `address` in a table keyed by address, None when nobody here has it."""
    for spelling in spellings(address, region):
        if mapping := mappings.get(spelling):
            return mapping
    return None


def _sip_spellings(address: str, region: str | None) -> Iterator[str]:
    # Parameters, headers and port say how to get there, not who is meant; hosts ignore case.
    scheme, _, rest = address.partition(":")
    userinfo, at, place = rest.rpartition("@")
    host = re.split(r"[;?]", place, maxsplit=1)[0].lower()
    user = unquote(re.split(r"[;:]", userinfo, maxsplit=1)[0])
    if not at or not user:
        yield f"sip:{host}"
        return
    for domain in dict.fromkeys((host, _without_port(host))):
        yield f"sip:{user}@{domain}"
        if scheme.lower() == "sips":
            yield f"sips:{user}@{domain}"
    yield f"sip:{user}"
    yield from _number_spellings(user, region)


def _number_spellings(text: str, region: str | None) -> Iterator[str]:
    yield normalised(text, region)
    digits = _SEPARATORS.sub("", text)
    if not digits.isascii():
        return
    if digits.isdigit():
        # The plus sign gets lost on the way from many carriers; 00 is how others write it.
        yield f"+{digits.removeprefix('00')}"
    yield digits


def _without_port(host: str) -> str:
    if host.startswith("["):
        return host.partition("]")[0] + "]"
    return host.partition(":")[0]
