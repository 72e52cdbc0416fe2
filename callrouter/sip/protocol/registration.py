"""Where registered users are: the bindings of addresses to contacts (RFC 3261 §10.3).

A binding remembers what was registered and where the registration came from, because behind a NAT
only the latter can be reached.  Calls go to the contact itself only when it names the very host
that registered it: an authenticated user must not make us send calls to third parties.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from urllib.parse import unquote

from callrouter.sip.protocol.hop import TRANSPORTS, Hop, default_port, is_same_address
from callrouter.sip.protocol.timers import MS
from callrouter.sip.protocol.uri import Uri

SECOND = 1000 * MS
TOP_Q = 1000
_TAKING_CONNECTIONS = frozenset({"udp", "tcp"})


@dataclass(frozen=True, slots=True)
class Binding:
    contact: Uri
    q: int
    """Preference in thousandths, 1000 first."""
    until_ns: int
    call_id: str
    sequence: int
    source: Hop
    """Where the REGISTER came from, with the connection it came by."""
    routes: tuple[str, ...] = ()
    """`Path` of the registration: the `Route` of what is sent there (RFC 3327)."""

    @property
    def is_direct(self) -> bool:
        """The contact names the host that registered it: no NAT, and no proxy.  Telephones do not take
        connections by TLS and WebSocket, they only make them."""
        if self.routes or self.source.transport not in _TAKING_CONNECTIONS:
            return False
        return is_same_address(self.contact.host, self.source.host)

    @property
    def hop(self) -> Hop:
        """Where a request to this contact goes."""
        source = self.source
        if not self.is_direct:
            return source
        named = self.contact.transport if self.contact.has("transport") else ""
        transport = named if named in TRANSPORTS else source.transport
        port = self.contact.port or default_port(transport)
        connection = source.connection if transport == source.transport else 0
        return Hop(transport, source.host, port, source.listener, connection)

    @property
    def request_uri(self) -> str:
        return self.contact.as_request_uri()

    def seconds_left(self, now_ns: int) -> int:
        return max(0, -(-(self.until_ns - now_ns) // SECOND))


@dataclass(frozen=True, slots=True)
class Wanted:
    """One contact of a REGISTER."""

    contact: Uri
    seconds: int
    """0 removes it."""
    q: int = TOP_Q


@dataclass(frozen=True, slots=True)
class Registering:
    """What the contacts of one REGISTER have in common."""

    call_id: str
    sequence: int
    source: Hop
    routes: tuple[str, ...] = ()


class OutOfSequence(ValueError):
    """An older REGISTER overtaken by a newer one: nothing was changed."""


@dataclass(slots=True)
class Bindings:
    """All of them, by user.  Bounded by the users there are and `max_contacts` of each."""

    max_contacts: int = 10
    _users: dict[str, dict[tuple[str, ...], Binding]] = field(default_factory=dict)
    """Contacts of each user, the one that registered longest ago first."""
    _by_connection: dict[int, set[str]] = field(default_factory=dict)
    """Users who have registered by it: thousands of connections may be lost at once."""

    def of(self, user: str, now_ns: int) -> list[Binding]:
        """Those that still hold, by preference, of equals the latest first."""
        kept = self._users.get(user)
        if kept is None:
            return []
        for key in [k for k, binding in kept.items() if binding.until_ns <= now_ns]:
            del kept[key]
        if not kept:
            del self._users[user]
        return sorted(kept.values(), key=lambda b: (-b.q, -b.until_ns))

    def groups(self, user: str, now_ns: int) -> list[list[Binding]]:
        """Those of equal preference together: they ring at the same time."""
        groups: list[list[Binding]] = []
        for binding in self.of(user, now_ns):
            if groups and groups[-1][0].q == binding.q:
                groups[-1].append(binding)
            else:
                groups.append([binding])
        return groups

    def change(self, user: str, wanted: Iterable[Wanted], how: Registering, now_ns: int) -> None:
        """All or nothing.  Raises `OutOfSequence`."""
        self.of(user, now_ns)  # drops what has expired
        before = self._users.get(user, {})
        kept = dict(before)
        for entry in wanted:
            key = contact_key(entry.contact)
            # Not with what this request itself has said: a contact that it names twice is no older one.
            _check_sequence(before.get(key), how)
            kept.pop(key, None)
            if entry.seconds:
                if how.source.connection:
                    self._by_connection.setdefault(how.source.connection, set()).add(user)
                kept[key] = Binding(
                    entry.contact,
                    entry.q,
                    now_ns + entry.seconds * SECOND,
                    how.call_id,
                    how.sequence,
                    how.source,
                    how.routes,
                )
        self._store(user, kept)

    def remove_all(self, user: str, how: Registering, now_ns: int) -> None:
        """`Contact: *`.  Raises `OutOfSequence`."""
        for binding in self.of(user, now_ns):
            _check_sequence(binding, how)
        self._users.pop(user, None)

    def has_by(self, hop: Hop) -> bool:
        """A user has registered by the connection of `hop`."""
        return hop.connection in self._by_connection

    def connection_lost(self, hop: Hop) -> None:
        """What can only be reached by this connection can be reached no more (RFC 5626 §5.3)."""
        if not hop.connection:
            return
        for user in self._by_connection.pop(hop.connection, ()):
            kept = self._users.get(user, {})
            left = {
                key: binding
                for key, binding in kept.items()
                if binding.source.connection != hop.connection or binding.is_direct
            }
            if len(left) < len(kept):
                self._store(user, left)

    def _store(self, user: str, kept: dict[tuple[str, ...], Binding]) -> None:
        """A telephone that starts anew with another port each time leaves dead contacts behind: the
        oldest ones give way."""
        while len(kept) > self.max_contacts:
            del kept[next(iter(kept))]
        if kept:
            self._users[user] = kept
        else:
            self._users.pop(user, None)

    def __iter__(self) -> Iterator[str]:
        return iter(self._users)

    def __len__(self) -> int:
        """Users with at least one contact, expired ones included until they are asked for."""
        return len(self._users)


def contact_key(uri: Uri) -> tuple[str, ...]:
    """What two spellings of one contact share (§19.1.4); `%00` and `%00%00` are two users."""
    port = "" if uri.port is None else str(uri.port)
    return (uri.scheme, unquote(uri.user), uri.host.lower(), port, (uri.get("transport") or "").lower())


def _check_sequence(binding: Binding | None, how: Registering) -> None:
    if binding is not None and binding.call_id == how.call_id and how.sequence <= binding.sequence:
        raise OutOfSequence(f"CSeq {how.sequence} is not above {binding.sequence}")
