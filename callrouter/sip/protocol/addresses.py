"""Where we may send to because a message says so: Contact, Record-Route, `maddr`, SDP.

Responses go where their requests came from, whatever those say.  Requests within a dialog follow
what the far end named, and that is how a stranger could aim us at somebody else: at this machine,
at its neighbours, at everybody on its network.
"""

from __future__ import annotations

import enum
import functools
import ipaddress

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_MAPPED = 96
"""Bits before an IPv4 address within IPv6."""


class Reach(enum.Enum):
    """How far an address means the same place."""

    PUBLIC = "public"
    PRIVATE = "private"
    LINK_LOCAL = "link-local"
    LOOPBACK = "loopback"
    NOBODY = "nobody"
    """Broadcast, multicast, unspecified, reserved: never one host."""


_SHARED = ipaddress.ip_network("100.64.0.0/10")
_TUNNELS = tuple(ipaddress.ip_network(n) for n in ("64:ff9b::/96", "64:ff9b:1::/48", "2002::/16", "::/96"))
"""IPv6 that leads to an IPv4 address of the writer's choice."""


@functools.lru_cache(maxsize=4096)
def address_of(host: str) -> Address | None:
    """None for a name.  IPv4 within IPv6 (`::ffff:192.0.2.1`) is what it is."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


@functools.lru_cache(maxsize=4096)
def network_of(network: Network) -> Network:
    """What `address_of` its addresses are in."""
    mapped = network.network_address.ipv4_mapped if isinstance(network, ipaddress.IPv6Network) else None
    if mapped is None or network.prefixlen < _MAPPED:
        return network
    return ipaddress.IPv4Network((mapped, network.prefixlen - _MAPPED))


@functools.lru_cache(maxsize=4096)
def reach_of(host: str) -> Reach | None:
    """None for a name."""
    address = address_of(host)
    if address is None:
        return None
    if address.is_loopback:
        return Reach.LOOPBACK
    if address.is_multicast or address.is_unspecified or address.is_reserved or str(address).startswith("0."):
        return Reach.NOBODY
    if address.is_link_local:
        return Reach.LINK_LOCAL
    if address.version == 6 and any(address in network for network in _TUNNELS):
        return Reach.NOBODY
    private = address.is_private or (address.version == 4 and address in _SHARED)
    return Reach.PRIVATE if private and not _is_documentation(address) else Reach.PUBLIC


_DOCUMENTATION = tuple(
    ipaddress.ip_network(n) for n in ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "2001:db8::/32")
)


def _is_documentation(address: Address) -> bool:
    """Python calls them private; nothing routes them, so nothing is lost by trying."""
    return any(address in network for network in _DOCUMENTATION)


@functools.lru_cache(maxsize=4096)
def may_send(named: str, source: str, allowed: tuple[Network, ...] = ()) -> bool:
    """`named` was mentioned by a message that came from `source` (both IP literals); `allowed` lists
    networks that anybody may mention.  A name passes here, and has to be asked about again with the
    address it leads to."""
    reach, origin = reach_of(named), reach_of(source)
    if reach is None or named == source or is_listed(named, allowed):
        return True
    if reach is Reach.NOBODY:
        return False
    if reach is Reach.PUBLIC:
        return True
    if reach is Reach.PRIVATE:
        return origin in (Reach.PRIVATE, Reach.LOOPBACK)
    return reach is origin


@functools.lru_cache(maxsize=4096)
def is_unspecified(host: str) -> bool:
    """`0.0.0.0` and `::` in any spelling; False for a name."""
    try:
        return ipaddress.ip_address(host).is_unspecified
    except ValueError:
        return False


@functools.lru_cache(maxsize=4096)
def is_unicast(host: str) -> bool:
    """An IP literal that one peer can be sent to: names in SDP are not looked up, groups not joined."""
    try:
        return not ipaddress.ip_address(host).is_multicast
    except ValueError:
        return False


def is_listed(host: str, networks: tuple[Network, ...]) -> bool:
    """False for a name."""
    address = address_of(host) if networks else None
    return address is not None and any(address in network_of(network) for network in networks)
