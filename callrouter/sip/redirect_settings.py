"""How far redirections (3xx) are followed."""

from __future__ import annotations

import enum


class Redirects(enum.Enum):
    OFF = "off"
    OWN = "own"
    """A carrier to its own servers, an address to the same host, a user of ours to users and numbers of
    this server."""
    ANYWHERE = "anywhere"
