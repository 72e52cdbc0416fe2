"""What is owed to a request that must not be carried out: status and headers (RFC 3261 §8.2, the
reasoning of RFC 4475).

The parser lets through whatever can be framed, so that it can be answered here.
"""

from __future__ import annotations

from dataclasses import dataclass

from callrouter.sip.protocol.bodies import Unsupported
from callrouter.sip.protocol.grammar import Fields, displayable, media_type, number, quote, split
from callrouter.sip.protocol.headers.address import Address, parse_list
from callrouter.sip.protocol.message import VERSION, Request, Response
from callrouter.sip.protocol.methods import ACCEPTED, KNOWN, SUPPORTED_OPTIONS
from callrouter.sip.protocol.offer import NothingFits
from callrouter.sip.protocol.session_timer import is_too_small
from callrouter.sip.protocol.uri import Uri

_INCOMPATIBLE, _MISCELLANEOUS = 305, 399
"""Codes of Warning (RFC 3261 §20.43)."""
_ONCE = ("CSeq", "Call-ID", "From", "To", "Max-Forwards")
_AT_MOST_ONCE = (
    "Content-Type",
    "Content-Disposition",
    "Expires",
    "Session-Expires",
    "Min-SE",
    "Event",
    "Subscription-State",
    "RAck",
)
"""Of two values one would have to be guessed (RFC 3261 §7.3.1)."""
_MOST_ADDRESSES = 128
"""In all lines of a header: more hops than a request may make (70), more contacts than anybody has."""
_ACCEPTABLE = ("*/*", "application/*", "application/sdp")


@dataclass(frozen=True, slots=True)
class Refusal:
    status: int
    reason: str
    """Says what is wrong; "" for the usual phrase."""
    fields: Fields = ()


def _warning(code: int, text: str) -> tuple[str, str]:
    return "Warning", f"{code} callrouter {quote(displayable(text))}"


_AT_LIMIT = "the limit of transcoding is reached, and no codec is agreed on here that needs none"
NO_TIME_TO_CODE = Refusal(503, _AT_LIMIT, (("Retry-After", "30"), _warning(_MISCELLANEOUS, _AT_LIMIT)))
"""Whatever is offered."""


def check(request: Request) -> Refusal | None:
    """Syntax that every element has to insist on, whatever the method."""
    if request.flaw is not None:
        return Refusal(request.flaw.status, request.flaw.text)
    if request.version.upper() != VERSION:
        return Refusal(505, "")
    try:
        _check_headers(request)
        return _check_uri(request) or _check_method(request)
    except ValueError as error:
        return Refusal(400, str(error))


def _check_headers(request: Request) -> None:
    _check_counts(request)
    hops = request.get("Max-Forwards")
    if hops is not None:
        number(hops)
    if not request.via.host:
        raise ValueError("Via names no host")
    if "" in (request.sender.get("tag"), Address.parse(request.get("To") or "").get("tag")):
        raise ValueError("a tag without value")
    for name in ("Contact", "Record-Route", "Route"):
        values = request.all(name)
        if values and sum(value.count(",") + 1 for value in values) > _MOST_ADDRESSES:
            raise ValueError(f"{name} has too many addresses")
        for value in values:
            if value != "*" or name != "Contact":
                parse_list(value)
            elif request.method != "REGISTER":
                raise ValueError("Contact: * is for REGISTER alone")


def _check_counts(request: Request) -> None:
    for name in _ONCE:
        values = request.all(name)
        if len(values) != 1:
            if values:
                raise ValueError(f"{name} is given {len(values)} times")
            if name != "Max-Forwards":  # RFC 2543 peers do without
                raise ValueError(f"{name} is missing")
        elif not values[0]:
            raise ValueError(f"{name} is empty")
    if len(request.fields) > len(request.index):  # some header has more lines than one
        twice = next((name for name in _AT_MOST_ONCE if len(request.all(name)) > 1), "")
        if twice:
            raise ValueError(f"{twice} is given more than once")


def _check_uri(request: Request) -> Refusal | None:
    uri = Uri.parse(request.uri)
    if uri.scheme == "tel":
        return None  # RFC 3966: a carrier may name the number itself
    if not uri.is_sip:
        return Refusal(416, "")
    if uri.headers:
        return Refusal(400, "a Request-URI has no headers")
    return None


def _check_method(request: Request) -> Refusal | None:
    if request.cseq.method == request.method:
        return None
    if request.method in KNOWN:
        return Refusal(400, "the method of CSeq is another one")
    return Refusal(501, "")


def check_extensions(request: Request) -> Refusal | None:
    """`Require` names nothing we cannot do (RFC 3261 §8.2.2.3).  ACK and CANCEL are never refused
    for it."""
    unknown = [option for option in request.tokens("Require") if option not in SUPPORTED_OPTIONS]
    if not unknown:
        return None
    asked = [w.strip() for v in request.all("Require") for w in v.split(",")]
    named = ", ".join(w for w in asked if w.lower() in unknown)
    return Refusal(420, "", (("Unsupported", named),))


def check_body(request: Request) -> Refusal | None:
    """What may offer or answer a session says so in a body that we read, and its sender reads what we
    would answer with (RFC 3261 §8.2.3)."""
    try:
        _ = request.description
    except Unsupported:
        return Refusal(415, "", (("Accept", ACCEPTED), ("Accept-Encoding", "identity")))
    except ValueError as error:
        return Refusal(400, str(error))
    accept = request.all("Accept")
    if accept and not any(media_type(w) in _ACCEPTABLE for w in request.tokens("Accept")):
        return Refusal(406, "", (("Accept", ACCEPTED),))
    return None


def refusal_of(error: ValueError) -> Refusal:
    """What an offer gets that cannot be answered, for the reason that `error` gives (§21.4.26)."""
    code = _INCOMPATIBLE if isinstance(error, NothingFits) else _MISCELLANEOUS
    return Refusal(488, str(error), (_warning(code, str(error)),))


def check_interval(request: Request, least_seconds: int) -> Refusal | None:
    """The session interval asked for is one we would keep to (RFC 4028 §9)."""
    if not is_too_small(request, least_seconds):
        return None
    return Refusal(422, "", (("Min-SE", str(least_seconds)),))


def is_usable(response: Response) -> bool:
    """A response that may be believed; others are dropped without a word.  A second Via means that
    it went to the wrong place: we never forward (RFC 3261 §8.1.3.3)."""
    if response.flaw is not None or response.version.upper() != VERSION:
        return False
    vias = response.all("Via")
    try:
        if len(vias) != 1 or len(split(vias[0], ",")) != 1:
            return False
        return bool(response.via.branch) and response.cseq.number >= 0
    except ValueError:
        return False
