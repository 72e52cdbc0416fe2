"""Registering with a carrier, and staying registered (RFC 3261 §10.2)."""

from __future__ import annotations

import enum
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from callrouter.sip.protocol import auth
from callrouter.sip.protocol.grammar import Fields, displayable, number
from callrouter.sip.protocol.headers.address import parse_list
from callrouter.sip.protocol.headers.retry_after import retry_after
from callrouter.sip.protocol.hop import Hop
from callrouter.sip.protocol.message import Response
from callrouter.sip.protocol.proof import Proof
from callrouter.sip.protocol.registration import contact_key
from callrouter.sip.protocol.selection import is_worth_another
from callrouter.sip.protocol.timers import MS, Timer
from callrouter.sip.protocol.transactions.client import ClientTransaction, ClientUser
from callrouter.sip.protocol.uri import escape_user

if TYPE_CHECKING:
    from callrouter.sip.protocol.agent import Agent

SECOND = 1000 * MS
FIRST_PAUSE = 10 * SECOND
LONGEST_PAUSE = 900 * SECOND
_LONGEST_ASKED = 3600
"""Seconds that a carrier may have us wait."""
PATIENCE = 10 * SECOND
"""How long a server may take to answer before it has not."""
MAX_MINIMUM = 86_400
_LEAST_LEAD = 5 * SECOND
_JITTER = 4096


class RegistrationState(enum.Enum):
    TRYING = "trying"
    REGISTERED = "registered"
    FAILED = "failed"
    """Another attempt follows after a pause."""
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class Account:
    """What we are at a carrier."""

    domain: str
    username: str
    password: str
    seconds: int
    """How long to ask for."""


class RegistrationClient(ClientUser):
    """One account.  `where` gives the servers, the one to try first in front."""

    def __init__(
        self,
        agent: Agent,
        account: Account,
        where: Callable[[], Sequence[Hop]],
        changed: Callable[[RegistrationState, str], None],
    ) -> None:
        self._agent = agent
        self._account = account
        self._where = where
        self._changed = changed
        self.state = RegistrationState.TRYING
        self._seconds = account.seconds
        self._call_id = agent.token(16)
        self._tag = agent.token(8)
        self._sequence = 0
        self._asked: ClientTransaction | None = None
        self._timer: Timer | None = None
        self._failures = 0
        self._server = 0
        """How many servers of this round have failed."""
        self._proof = Proof(auth.Credentials(account.username, account.password), agent.token)

    # -- what the owner asks for

    def start(self, now_ns: int) -> None:
        self._register(now_ns)

    def stop(self, now_ns: int) -> None:
        """Take the registration back; `is_leaving` until that is answered.  A challenge is, too."""
        was_registered = self.state is RegistrationState.REGISTERED
        self._abandon()
        self.state = RegistrationState.STOPPED
        if was_registered:
            self._seconds = 0
            self._register(now_ns)

    @property
    def is_leaving(self) -> bool:
        """Stopped, and the carrier has yet to say that it knows."""
        return self.state is RegistrationState.STOPPED and self._asked is not None

    # -- requests

    def _register(self, now_ns: int, credentials: Fields = ()) -> None:
        self._abandon()
        servers = self._where()
        if not servers:
            self._pause("its gateways have no address", now_ns)
            return
        hop = servers[self._server % len(servers)]
        self._sequence += 1
        account = self._account
        address = f"<sip:{escape_user(account.username)}@{account.domain}>"
        fields = [
            ("Max-Forwards", "70"),
            ("From", f"{address};tag={self._tag}"),
            ("To", address),
            ("Call-ID", self._call_id),
            ("CSeq", f"{self._sequence} REGISTER"),
            self._agent.listeners.contact(hop, escape_user(account.username)),
            ("Expires", str(self._seconds)),
            *credentials,
        ]
        request = self._agent.uac.request("REGISTER", f"sip:{account.domain}", hop, fields)
        if self.state is not RegistrationState.STOPPED:
            self._timer = self._agent.timers.start(now_ns + PATIENCE, self._lost_patience)
        self._asked = self._agent.layer.client(request, hop, self, now_ns)

    def _abandon(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        asked, self._asked = self._asked, None
        if asked is not None and asked.is_unanswered:
            asked.terminate()

    # -- answers

    def on_response(self, transaction: ClientTransaction, response: Response, now_ns: int) -> None:
        """The registrar's answer (RFC 3261 §10.2.4, §10.3): a challenge is answered, 423 asked again for
        longer; any other refusal is a failure, after which the next server is asked or a pause made."""
        if transaction is not self._asked or response.status < 200:
            return
        self._asked = None
        if response.status in (401, 407) and self._answer_challenge(transaction, response, now_ns):
            return
        if self.state is RegistrationState.STOPPED:
            return
        if response.status < 300:
            self._registered(transaction, response, now_ns)
        elif response.status == 423 and self._ask_for_longer(response, now_ns):
            return
        else:
            why = f"{response.status} {displayable(response.reason)}"
            self._failed(why, now_ns, other_server=is_worth_another(response.status), response=response)

    def on_failure(self, transaction: ClientTransaction, status: int, now_ns: int) -> None:
        if transaction is not self._asked:
            return
        self._asked = None
        if self.state is not RegistrationState.STOPPED:
            why = "no answer" if status == 408 else "it cannot be reached"
            self._failed(why, now_ns, other_server=True)

    def _lost_patience(self, now_ns: int) -> None:
        self._timer = None
        self._failed("no answer", now_ns, other_server=True)

    def _registered(self, transaction: ClientTransaction, response: Response, now_ns: int) -> None:
        self._failures = self._server = 0
        lasts_ns = self._granted(transaction, response) * SECOND
        # Well before it ends, so that a lost answer or a slow server leaves time for another try.
        lead = max(lasts_ns // 5, min(_LEAST_LEAD, lasts_ns // 2))
        self._wait(lasts_ns - lead, now_ns)
        if self.state is not RegistrationState.REGISTERED:
            self.state = RegistrationState.REGISTERED
            self._changed(self.state, f"for {lasts_ns // SECOND} s")

    def _granted(self, transaction: ClientTransaction, response: Response) -> int:
        """Seconds: what the answer says of our contact, else of all, else what we asked for."""
        ours = _contacts(transaction.request.get("Contact") or "")
        texts = [
            text
            for value in response.all("Contact")
            for key, text in _contacts(value).items()
            if key in ours and text is not None
        ]
        for text in (*texts, response.get("Expires")):
            try:
                return max(1, number(text or ""))
            except ValueError:
                continue
        return self._seconds

    def _ask_for_longer(self, response: Response, now_ns: int) -> bool:
        try:
            least = number(response.get("Min-Expires") or "", MAX_MINIMUM)
        except ValueError:
            return False
        if least <= self._seconds:
            return False
        self._seconds = least
        self._register(now_ns)
        return True

    def _answer_challenge(self, transaction: ClientTransaction, response: Response, now_ns: int) -> bool:
        """False: there is none that we can answer, or we did and were refused."""
        request = transaction.request
        if not self._proof.takes(response, request):
            return False
        self._register(now_ns, self._proof.fields("REGISTER", request.uri))
        return True

    # -- trouble

    def _failed(self, why: str, now_ns: int, *, other_server: bool, response: Response | None = None) -> None:
        self._abandon()
        if other_server:
            self._server += 1
            if self._server < len(self._where()):
                self._register(now_ns)
                return
        self._server = 0
        self._pause(why, now_ns, response)

    def _pause(self, why: str, now_ns: int, response: Response | None = None) -> None:
        """Twice as long each time, and not in step with everybody else who was cut off."""
        longest = min(FIRST_PAUSE << min(self._failures, 16), LONGEST_PAUSE)
        self._failures += 1
        chance = int(self._agent.token(2), 16) % _JITTER
        pause = longest // 2 + longest // 2 * chance // _JITTER
        asked = retry_after(response.get("Retry-After"), _LONGEST_ASKED) if response is not None else 0
        self._wait(max(pause, asked * SECOND), now_ns)
        if self.state is not RegistrationState.FAILED:
            self.state = RegistrationState.FAILED
            self._changed(self.state, why)

    def _wait(self, pause_ns: int, now_ns: int) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._agent.timers.start(now_ns + pause_ns, self._register)


def _contacts(value: str) -> dict[tuple[str, ...], str | None]:
    """Contacts by what identifies them, with their `expires`."""
    try:
        return {contact_key(a.uri): a.get("expires") for a in parse_list(value)} if value else {}
    except ValueError:
        return {}
