"""Targets: everything control can be passed to, read from one line of text (docs/design.md §2).

    target      = url / module / outlet / application / bridge / "resume:" / "inline:"
    url         = ("https:" / "http:") "//" authority path [ "?" query ] [ "#" overrides ]
    module      = "module:" owner "." name [ "?" parameters ]
    outlet      = "outlet:" name [ "?" parameters ]
    application = "app:AP" 32HEX [ "/" instance ] [ "?" parameters ]
    bridge      = "tel:" number [ "?" parameters ] / "sip:" … / "sips:" … / "client:" name [ "?" parameters ]

Pure: no look-up is made here, so a well-formed target may still lead nowhere.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import parse_qsl, urlsplit

from callrouter.errors import CallError
from dispatcher.grant import Parameters

MAX_LENGTH = 4096
"""Longer than any URL that servers accept; bounds the work done on hostile text."""

_PRINTABLE = re.compile(r"[^\x00-\x20\x7f-\x9f]+")
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):")
MODULE_CODE = re.compile(r"[a-z0-9][a-z0-9_-]*\.[a-z0-9][a-z0-9_-]*")
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
_APPLICATION = re.compile(r"(AP[0-9a-fA-F]{32})(?:/([A-Za-z0-9][A-Za-z0-9_-]*))?")
_TELEPHONE = re.compile(r"\+?[0-9*#]{1,32}")
_VISUAL_SEPARATORS = str.maketrans("", "", "-.()")  # RFC 3966 §3
_SIP = re.compile(
    r"sips?:(?:[^@\s<>\"]+@)?"  # userinfo, RFC 3261 §19.1.1, kept as it is
    r"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_](?:[A-Za-z0-9._-]*[A-Za-z0-9_.])?)"
    r"(?::[0-9]{1,5})?(?:[;?][^\s<>\"]*)?",
    re.IGNORECASE,
)
_CLIENT = re.compile(r"[^\s?<>\"@]{1,256}")


class BadTarget(CallError):
    """The text is no target; the message says what it should have looked like."""

    code = 11100
    billable = False
    sip_status = 404


@dataclass(frozen=True, slots=True)
class UrlTarget:
    """A document to fetch; which module it belongs to is decided by its prefix."""

    url: str


@dataclass(frozen=True, slots=True)
class ModuleTarget:
    """A module by its identity code, wherever its inlet is today."""

    code: str
    parameters: Parameters = ()


@dataclass(frozen=True, slots=True)
class OutletTarget:
    """Whatever the running application's flow wires to this outlet of the running instance."""

    name: str
    parameters: Parameters = ()


@dataclass(frozen=True, slots=True)
class ApplicationTarget:
    """A container application, at its start or at one of its instances."""

    sid: str
    instance: str = ""
    parameters: Parameters = ()


@dataclass(frozen=True, slots=True)
class BridgeTarget:
    """Somebody to be joined to.  `uri` starts with `tel:`, `sip:`, `sips:` or `client:`."""

    uri: str
    parameters: Parameters = ()


@dataclass(frozen=True, slots=True)
class ResumeTarget:
    """The suspended document, at the verb after its Dial."""


@dataclass(frozen=True, slots=True)
class InlineTarget:
    """The document that came with the order itself (REST `Twiml`)."""


Target = (
    UrlTarget | ModuleTarget | OutletTarget | ApplicationTarget | BridgeTarget | ResumeTarget | InlineTarget
)

RESUME = "resume:"
INLINE = "inline:"
"""Only for orders that carry their document; the dispatcher refuses it from anywhere but the API."""


def parse_target(text: str) -> Target:
    """Read `text` (surrounding white space is ignored).  Raises `BadTarget`."""
    text = text.strip()
    if not text:
        raise BadTarget("the target is empty; expected a URI such as https://example.com/voice")
    if len(text) > MAX_LENGTH:
        raise BadTarget(f"the target is {len(text)} characters long; at most {MAX_LENGTH} are accepted")
    scheme = _SCHEME.match(text)
    if scheme is None:
        raise BadTarget(
            f"target {_shown(text)} has no scheme; expected an absolute URI beginning with one of {_known()}"
        )
    reader = _READERS.get(scheme[1].lower())
    if reader is None:
        raise BadTarget(f"target {_shown(text)}: scheme {scheme[1]!r} is not one of {_known()}")
    if not _PRINTABLE.fullmatch(text):
        raise BadTarget(f"target {_shown(text)} contains a blank or a control character; percent-encode it")
    return reader(text, text[scheme.end() :])


def bridge_destination(uri: str) -> str:
    """What a bridge URI calls, for lists of numbers: the digits of `tel:`, else the URI itself."""
    return uri[4:] if uri.startswith("tel:") else uri


def _read_url(text: str, rest: str) -> Target:
    try:
        parts = urlsplit(text)
        host, _port = parts.hostname, parts.port  # `port` raises when it is not a number up to 65535
    except ValueError as error:
        raise BadTarget(f"URL {_shown(text)} cannot be read: {error}") from None
    if not host:
        raise BadTarget(f"URL {_shown(text)} names no host; expected https://host/path")
    return UrlTarget(text)


def _read_module(text: str, rest: str) -> Target:
    code, parameters = _split_parameters(rest)
    if not MODULE_CODE.fullmatch(code):
        raise BadTarget(f"target {_shown(text)}: {code!r} is no module code; expected module:owner.name")
    return ModuleTarget(code, parameters)


def _read_outlet(text: str, rest: str) -> Target:
    name, parameters = _split_parameters(rest)
    if not NAME.fullmatch(name):
        raise BadTarget(f"target {_shown(text)}: {name!r} is no outlet name; expected outlet:name")
    return OutletTarget(name, parameters)


def _read_application(text: str, rest: str) -> Target:
    path, parameters = _split_parameters(rest)
    match = _APPLICATION.fullmatch(path)
    if match is None:
        raise BadTarget(f"target {_shown(text)}: expected app:AP and 32 hexadecimal digits")
    return ApplicationTarget(match[1], match[2] or "", parameters)


def _read_telephone(text: str, rest: str) -> Target:
    subscriber, parameters = _split_parameters(rest)
    number = subscriber.partition(";")[0].translate(_VISUAL_SEPARATORS)
    if not _TELEPHONE.fullmatch(number):
        raise BadTarget(f"target {_shown(text)}: {number!r} is no telephone number; expected tel:+15550100")
    return BridgeTarget(f"tel:{number}", parameters)


def _read_sip(text: str, rest: str) -> Target:
    # A question mark in a SIP URI begins header fields of the INVITE (RFC 3261 §19.1.1): not ours.
    if not _SIP.fullmatch(text):
        raise BadTarget(f"target {_shown(text)} is no SIP URI; expected sip:user@host[:port]")
    scheme, _, address = text.partition(":")
    return BridgeTarget(f"{scheme.lower()}:{address}")


def _read_client(text: str, rest: str) -> Target:
    name, parameters = _split_parameters(rest)
    if not _CLIENT.fullmatch(name):
        raise BadTarget(f"target {_shown(text)} names no client; expected client:name")
    return BridgeTarget(f"client:{name}", parameters)


def _read_resume(text: str, rest: str) -> Target:
    if rest:
        raise BadTarget(f"target {_shown(text)}: nothing may follow resume:")
    return ResumeTarget()


def _read_inline(text: str, rest: str) -> Target:
    if rest:
        raise BadTarget(f"target {_shown(text)}: nothing may follow inline:")
    return InlineTarget()


_READERS = {
    "https": _read_url,
    "http": _read_url,
    "module": _read_module,
    "outlet": _read_outlet,
    "app": _read_application,
    "tel": _read_telephone,
    "sip": _read_sip,
    "sips": _read_sip,
    "client": _read_client,
    "resume": _read_resume,
    "inline": _read_inline,
}


def _split_parameters(rest: str) -> tuple[str, Parameters]:
    """Apart from the fragment, what follows `?` is form data, as in a URL."""
    name, _, query = rest.partition("#")[0].partition("?")
    try:
        pairs = parse_qsl(query, keep_blank_values=True, max_num_fields=100, errors="replace")
    except ValueError as error:
        raise BadTarget(f"the target's parameters cannot be read: {error}") from None
    return name, tuple(pairs)


def _known() -> str:
    return ", ".join(f"{scheme}:" for scheme in _READERS if scheme != "inline")


def _shown(text: str) -> str:
    return repr(text if len(text) <= 80 else text[:79] + "…")
