"""A core with a registrar and rules of admission, and peers that answer its challenges."""

from __future__ import annotations

import ipaddress

from callrouter.sip.protocol.admission import Admission, TrunkAccess
from callrouter.sip.protocol.auth import Credentials, answer, strongest
from callrouter.sip.protocol.digest_server import DigestServer
from callrouter.sip.protocol.domains import Domains
from callrouter.sip.protocol.hop import Hop
from callrouter.sip.protocol.message import Request, Response, parse
from callrouter.sip.protocol.registrar import Registrar, RegistrarRules
from tests.protocol.stranger import Stranger, text
from tests.protocol.wire import counting_tokens

USERS = {"alice": "wonderland", "bob": "builder"}
CARRIER = "198.51.100.7"
PEER = "192.0.2.9"


class Office(Stranger):
    """Users alice and bob, a carrier by address, one by password, and a peer that needs neither."""

    def __init__(
        self, transport: str = "udp", *, challenge_strangers: bool = True, domains: tuple[str, ...] = ()
    ) -> None:
        super().__init__(transport)
        digest = DigestServer("office", b"key", counting_tokens("d"))
        ours = Domains(domains, self.agent.listeners)
        self.registrar = self.agent.registrar = Registrar(RegistrarRules(), ours, digest, USERS)
        self.admission = self.agent.admission = Admission(
            (
                TrunkAccess("carrier", (ipaddress.ip_network("198.51.100.0/28"),)),
                TrunkAccess("dynamic", (), "trunk-user", "trunk-password"),
            ),
            USERS,
            (ipaddress.ip_network(f"{PEER}/32"),),
            digest,
            ours,
            challenge_strangers=challenge_strangers,
        )
        self._sequence = 0

    def at(self, host: str, port: int = 5060, connection: int = 0) -> Office:
        self.hop = Hop(self.hop.transport, host, port, 0, connection)
        return self

    def one(self, message: str | bytes) -> Response:
        (response,) = [m for m in self.send(message) if isinstance(m, Response)]
        return response

    def register(
        self,
        *contacts: str,
        user: str = "alice",
        password: str = "wonderland",
        to: str = "",
        lines: tuple[str, ...] = (),
        call_id: str = "reg-1",
        cseq: int = 0,
        uri: str = "sip:192.0.2.2",
    ) -> Response:
        """A REGISTER whose challenge is answered."""
        self._sequence = cseq or self._sequence + 2
        more = (*(f"Contact: {c}" for c in contacts), *lines)
        first = register_text(to or user, *more, call_id=call_id, cseq=self._sequence - 1, uri=uri)
        response = self.one(first)
        if response.status != 401:
            return response
        again = register_text(to or user, *more, call_id=call_id, cseq=self._sequence, uri=uri)
        return self.one(with_credentials(again, response, user, password))

    def contacts(self, user: str = "alice") -> list[str]:
        return [str(b.contact) for b in self.registrar.bindings.of(user, self.now)]


def register_text(
    user: str, *lines: str, call_id: str = "reg-1", cseq: int = 1, uri: str = "sip:192.0.2.2"
) -> str:
    written = text(
        "REGISTER",
        *lines,
        uri=uri,
        branch=f"z9hG4bKreg{call_id}{cseq}",
        call_id=call_id,
        cseq=f"{cseq} REGISTER",
    )
    return written.replace("sip:bob@192.0.2.2", f"sip:{user}@192.0.2.2").replace(
        "sip:peer@192.0.2.9", f"sip:{user}@192.0.2.2"
    )


def with_credentials(written: str, challenged: Response, user: str, password: str) -> bytes:
    """The request with the answer to a challenge; its branch becomes another one."""
    request = parse(written.encode())
    assert isinstance(request, Request)
    challenge = strongest(challenged.all("WWW-Authenticate"))
    assert challenge is not None
    value = answer(
        challenge,
        Credentials(user, password),
        method=request.method,
        uri=request.uri,
        body=request.body,
        cnonce="c",
        count=1,
    )
    fields = [(n, f"{v}x" if n == "Via" else v) for n, v in request.fields]
    return bytes(Request(request.method, request.uri, [*fields, ("Authorization", value)], request.body))
