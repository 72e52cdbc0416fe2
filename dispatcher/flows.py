"""Container applications: module instances and the flow between them (docs/design.md §2, §6).

An instance is a module with parameters.  Instances do not know each other: a document leaves by an
outlet, or something happens to the call, and the flow says who is next.  Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from dispatcher.grant import Parameters

DENIED = "denied"
"""Outlet and event of an instance whose turn was refused."""
ENDED = "ended"
"""Event of a bridge: the far end left, or was never there any longer."""
FAILED = "failed"
"""Event of a bridge that did not come about: busy, no answer, unreachable."""
EVENTS = (ENDED, FAILED, DENIED)


@dataclass(frozen=True, slots=True)
class Instance:
    """A module's place in an application."""

    name: str
    module: str
    """Identity code."""
    parameters: Parameters = ()
    inlet: str = ""
    """Where an instance of the account's own `self` begins; "" for every other module."""


@dataclass(frozen=True, slots=True)
class Application:
    """Edges lead from (instance, outlet) to an instance; event mappings from (instance, event) to
    an instance or, where the value has a scheme, to any target."""

    sid: str
    name: str
    account_sid: str
    start: str
    """The instance where calls enter."""
    instances: Mapping[str, Instance]
    edges: Mapping[tuple[str, str], str] = field(default_factory=dict)
    events: Mapping[tuple[str, str], str] = field(default_factory=dict)
    active: bool = True

    def target_of(self, instance: str) -> str:
        return f"app:{self.sid}/{instance}"

    def next(self, instance: str, outlet: str) -> Instance | None:
        """Who follows when `instance` leaves by `outlet`; None when that is not wired."""
        return self.instances.get(self.edges.get((instance, outlet), ""))

    def on(self, instance: str, event: str) -> str | None:
        """The target that `event` of `instance` is mapped to, None when it is not."""
        mapped = self.events.get((instance, event))
        if mapped is None:
            return None
        return self.target_of(mapped) if mapped in self.instances else mapped

    def denied(self, instance: str) -> str | None:
        """The target that takes over when control by `instance` is refused."""
        follower = self.next(instance, DENIED)
        return self.target_of(follower.name) if follower else self.on(instance, DENIED)

    def outlets(self, instance: str) -> tuple[str, ...]:
        """Outlets of `instance` that lead somewhere, for messages."""
        return tuple(sorted(outlet for name, outlet in self.edges if name == instance))
