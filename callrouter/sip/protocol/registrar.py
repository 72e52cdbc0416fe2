"""REGISTER: telephones and clients saying where they are (RFC 3261 §10.3).

Nothing is said about users before the password has been proved: everybody is challenged, and a
wrong name gets the very answer that a wrong password gets.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from callrouter.sip.protocol.digest_server import DigestServer, Verdict
from callrouter.sip.protocol.domains import Domains
from callrouter.sip.protocol.grammar import Fields, number, split, write_parameters
from callrouter.sip.protocol.headers.address import Address, parse_list
from callrouter.sip.protocol.hop import Hop
from callrouter.sip.protocol.message import Request
from callrouter.sip.protocol.registration import (
    TOP_Q,
    Binding,
    Bindings,
    OutOfSequence,
    Registering,
    Wanted,
)
from callrouter.sip.protocol.uri import Uri
from callrouter.sip.protocol.validate import Refusal

_MALFORMED_EXPIRES = 3600
"""What an Expires that cannot be read stands for (RFC 3261 §20.19)."""


@dataclass(frozen=True, slots=True)
class RegistrarRules:
    min_seconds: int = 60
    max_seconds: int = 7200
    default_seconds: int = 3600
    max_contacts: int = 10


class Registrar:
    def __init__(
        self,
        rules: RegistrarRules,
        domains: Domains,
        digest: DigestServer,
        passwords: Mapping[str, str],
    ) -> None:
        self._rules = rules
        self._domains = domains
        self._digest = digest
        self._passwords = passwords
        self.bindings = Bindings(rules.max_contacts)

    def receive(self, request: Request, source: Hop, now_ns: int) -> Refusal | Fields:
        """Carry out a REGISTER; the headers of its 200, or why there is none."""
        try:
            to = Address.parse(request.get("To") or "").uri
            if not to.is_sip or not self._domains.may_register(Uri.parse(request.uri)):
                return Refusal(404, "")
            refusal = self._authenticate(request, to, now_ns)
            if refusal is not None:
                return refusal
            routes = tuple(p.strip() for value in request.all("Path") for p in split(value, ","))
            how = Registering(request.call_id, request.cseq.number, source, routes)
            refusal = self._carry_out(request, to.plain_user, how, now_ns)
        except OutOfSequence as error:
            return Refusal(500, str(error))
        except ValueError as error:
            return Refusal(400, str(error))
        return refusal or self._answer(to.plain_user, routes, now_ns)

    def _authenticate(self, request: Request, to: Uri, now_ns: int) -> Refusal | None:
        judgement = self._digest.judge(request, self._passwords.get, now_ns)
        if judgement.verdict in (Verdict.ABSENT, Verdict.STALE):
            stale = judgement.verdict is Verdict.STALE
            return Refusal(401, "", self._digest.challenge(now_ns, stale=stale))
        if judgement.verdict is Verdict.WRONG or judgement.username != to.plain_user:
            return Refusal(403, "")
        return None

    def _carry_out(self, request: Request, user: str, how: Registering, now_ns: int) -> Refusal | None:
        values = request.all("Contact")
        if any(value == "*" for value in values):
            if len(values) > 1 or (request.get("Expires") or "").strip() != "0":
                return Refusal(400, "Contact: * stands alone, with Expires: 0")
            self.bindings.remove_all(user, how, now_ns)
            return None
        addresses = [address for value in values for address in parse_list(value)]
        if len(addresses) > self._rules.max_contacts:
            return Refusal(403, "too many contacts")
        wanted = [self._wanted(address, request) for address in addresses]
        if any(0 < entry.seconds < self._rules.min_seconds for entry in wanted):
            return Refusal(423, "", (("Min-Expires", str(self._rules.min_seconds)),))
        self.bindings.change(user, wanted, how, now_ns)
        return None

    def _wanted(self, address: Address, request: Request) -> Wanted:
        if not address.uri.is_sip:
            raise ValueError("a contact that is no SIP URI")
        given = address.get("expires")
        if given is None:
            given = request.get("Expires")
        seconds = self._rules.default_seconds if given is None else _seconds(given)
        return Wanted(address.uri, min(seconds, self._rules.max_seconds), thousandths(address.get("q")))

    def _answer(self, user: str, routes: tuple[str, ...], now_ns: int) -> Fields:
        contacts = tuple(("Contact", _written(b, now_ns)) for b in self.bindings.of(user, now_ns))
        return (*contacts, *(("Path", route) for route in routes))


def _written(binding: Binding, now_ns: int) -> str:
    parameters = [("expires", str(binding.seconds_left(now_ns)))]
    if binding.q != TOP_Q:
        parameters.append(("q", f"0.{binding.q:03}".rstrip("0").rstrip(".")))
    return f"<{binding.contact}>{write_parameters(tuple(parameters))}"


def _seconds(text: str) -> int:
    try:
        return number(text.strip())
    except ValueError:
        return _MALFORMED_EXPIRES


def thousandths(text: str | None) -> int:
    """`q` (§20.10); one that cannot be read is none."""
    if not text:
        return TOP_Q
    whole, _, fraction = text.partition(".")
    try:
        value = number(whole) * TOP_Q + (number(fraction[:3].ljust(3, "0")) if fraction else 0)
    except ValueError:
        return TOP_Q
    return min(value, TOP_Q)
