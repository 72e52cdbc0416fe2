"""Whose call it is, as carriers say it: P-Asserted-Identity and Privacy (RFC 3323, 3325),
Remote-Party-ID (its forerunner), Diversion (RFC 5806).

These headers mean something only between parties that trust each other: from anybody else they are
not read, and nobody behind us gets to see them.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass

from callrouter.sip.protocol.grammar import Fields, displayable, quote
from callrouter.sip.protocol.headers.address import Address, readable
from callrouter.sip.protocol.message import Request
from callrouter.sip.protocol.numbering import NumberFormat
from callrouter.sip.protocol.uri import Uri, escape_user

ANONYMOUS = "sip:anonymous@anonymous.invalid"
_ANONYMOUS_NAMES = frozenset({"anonymous", "restricted", "unavailable", "unknown"})
_WITHHELD = frozenset({"anonymous", "restricted"})
_HIDING = frozenset({"id", "user", "header"})
TRUSTED_ONLY = frozenset(
    {
        "p-asserted-identity",
        "p-preferred-identity",
        "p-charging-vector",
        "p-charging-function-addresses",
        "p-access-network-info",
        "p-visited-network-id",
        "p-called-party-id",
        "p-associated-uri",
        "remote-party-id",
        "privacy",
        "diversion",
        "history-info",
        "identity",
    }
)
"""Headers that only trusted parties may set, in lower case."""


class IdentityHeader(enum.Enum):
    """Where a carrier reads who calls."""

    NONE = "from"
    """In From, nowhere else."""
    ASSERTED = "p-asserted-identity"
    PREFERRED = "p-preferred-identity"
    REMOTE_PARTY = "remote-party-id"


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls, as applications are shown it."""

    uri: str
    name: str = ""


@dataclass(frozen=True, slots=True)
class Presentation:
    """What we say about the caller of a call that we place."""

    user: str
    """User part, already as the carrier wants it; "" = nobody to name."""
    domain: str
    name: str = ""
    is_private: bool = False
    diverted_from: str = ""
    """Number the call was for at first, as the carrier wants it."""


# -- coming in


def caller_of(invite: Request, numbers: NumberFormat, *, is_trusted: bool) -> Caller:
    """From an INVITE; what it only asserts counts if its sender `is_trusted`."""
    sender = invite.sender
    if not is_trusted:
        return Caller(displayable(str(sender.uri)), sender.display_name)
    asserted, hides = _asserted(invite)
    if hides or _HIDING & _words(invite.get("Privacy")):
        return Caller(ANONYMOUS, "Anonymous")
    best = asserted or sender
    return Caller(in_e164(best.uri, numbers), best.display_name)


def _asserted(invite: Request) -> tuple[Address | None, bool]:
    """The identity a trusted party vouches for, and whether it wants it hidden."""
    for value in invite.all("P-Asserted-Identity"):
        for address in readable(value):
            return address, False
    for value in invite.all("Remote-Party-ID"):
        for address in readable(value):
            if (address.get("party") or "calling").lower() == "calling":
                return address, (address.get("privacy") or "").lower() in ("full", "uri")
    return None, False


def in_e164(uri: Uri, numbers: NumberFormat) -> str:
    """`uri` with the number of its user part, if it is one, in E.164."""
    if uri.scheme == "tel":
        return f"tel:{numbers.incoming(displayable(uri.opaque.partition(';')[0]))}"
    text = displayable(str(uri))
    if not uri.is_sip or not uri.user:
        return text
    plain = uri.plain_user.partition(";")[0]
    number = numbers.incoming(plain)
    if number == plain:
        return text
    return displayable(str(Uri(uri.scheme, escape_user(number), None, uri.host, uri.port, uri.parameters)))


def visible_headers(headers: Mapping[str, str], numbers: NumberFormat, *, is_trusted: bool) -> dict[str, str]:
    """Those that applications may see: from strangers none that only trusted parties may set."""
    if not is_trusted:
        return {name: value for name, value in headers.items() if name.lower() not in TRUSTED_ONLY}
    shown = dict(headers)
    for address in readable(shown.get("Diversion", "")):
        shown["Diversion"] = f"<{in_e164(address.uri, numbers)}>"
        break
    return shown


def _words(value: str | None) -> frozenset[str]:
    return frozenset(word.strip().lower() for word in (value or "").replace(";", ",").split(","))


# -- going out


def is_anonymous(caller: str) -> bool:
    """Nobody is named."""
    return not caller or caller.lower() in _ANONYMOUS_NAMES


def wants_privacy(caller: str) -> bool:
    """It is not just unknown who calls: it is not to be told."""
    return caller.lower() in _WITHHELD


def sender_of(presented: Presentation) -> str:
    """The From of our INVITE, without its tag."""
    if presented.is_private or not presented.user:
        return f'"Anonymous" <{ANONYMOUS}>' if presented.is_private else f"<{ANONYMOUS}>"
    name = f"{quote(displayable(presented.name))} " if presented.name else ""
    return f"{name}<{_uri(presented.user, presented.domain)}>"


def identity_fields(presented: Presentation, header: IdentityHeader) -> Fields:
    """What stands beside From in an INVITE to a carrier."""
    fields: list[tuple[str, str]] = []
    if presented.user and header is not IdentityHeader.NONE:
        name = f"{quote(displayable(presented.name))} " if presented.name else ""
        value = f"{name}<{_uri(presented.user, presented.domain)}>"
        if header is IdentityHeader.ASSERTED:
            fields.append(("P-Asserted-Identity", value))
        elif header is IdentityHeader.PREFERRED:
            fields.append(("P-Preferred-Identity", value))
        else:
            privacy = "full" if presented.is_private else "off"
            fields.append(("Remote-Party-ID", f"{value};party=calling;privacy={privacy};screen=yes"))
    if presented.is_private:
        fields.append(("Privacy", "id"))
    if presented.diverted_from:
        uri = _uri(presented.diverted_from, presented.domain)
        fields.append(("Diversion", f"<{uri}>;reason=unconditional;counter=1"))
    return tuple(fields)


def _uri(user: str, domain: str) -> str:
    return f"sip:{escape_user(user)}@{domain}"
