"""Every spelling of every forbidden range is refused before a connection is made."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from ipaddress import IPv4Address, ip_address

import pytest

from callrouter.fetch.address import BadUrl, parse_address
from callrouter.fetch.guard import AddressRefused, Guard, GuardedResolver

RANGES = [
    "0.0.0.0",
    "0.255.255.255",
    "10.0.0.0",
    "10.255.255.255",
    "100.64.0.0",
    "100.127.255.255",
    "100.100.100.200",
    "127.0.0.1",
    "127.255.255.255",
    "169.254.0.0",
    "169.254.169.254",
    "169.254.255.255",
    "172.16.0.0",
    "172.31.255.255",
    "192.0.0.0",
    "192.0.0.192",
    "192.0.0.255",
    "192.0.2.1",
    "192.31.196.1",
    "192.52.193.1",
    "192.88.99.1",
    "192.168.0.0",
    "192.168.255.255",
    "192.175.48.1",
    "198.18.0.0",
    "198.19.255.255",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "239.255.255.255",
    "240.0.0.1",
    "255.255.255.255",
]


def spellings(address: IPv4Address) -> Iterator[str]:
    a, b, c, d = address.packed
    number = int(address)
    yield str(address)
    yield str(number)
    yield f"{number:#x}"
    yield f"0{number:o}"
    yield f"{a:#x}.{b:#x}.{c:#x}.{d:#x}"
    yield f"0{a:o}.0{b:o}.0{c:o}.0{d:o}"
    yield f"{a}.{b}.{c * 256 + d}"
    yield f"{a}.{(b << 16) + (c << 8) + d}"
    yield str(address).translate(str.maketrans("0123456789", "0①②③④⑤⑥⑦⑧⑨"))
    yield str(address).translate(str.maketrans("0123456789.", "０１２３４５６７８９。"))
    yield f"[::ffff:{address}]"
    yield f"[::ffff:{number >> 16:x}:{number & 0xFFFF:x}]"
    yield f"[::{address}]"
    yield f"[64:ff9b::{address}]"
    yield f"[64:ff9b:1::{address}]"
    yield f"[2002:{number >> 16:x}:{number & 0xFFFF:x}::]"


async def admitted(guard: Guard, resolver: GuardedResolver, host: str) -> None:
    """Do what the client does before it connects to `host`."""
    address = parse_address(f"http://{host}/")
    guard.check_host(address.host, address.port)
    await resolver.resolve(address.host, address.port)


@pytest.mark.parametrize("text", RANGES)
async def test_no_spelling_of_a_forbidden_address_passes(text: str) -> None:
    guard = Guard()
    resolver = GuardedResolver(guard, 1)
    for host in spellings(IPv4Address(text)):
        with pytest.raises((AddressRefused, BadUrl, socket.gaierror)):
            await admitted(guard, resolver, host)
    await resolver.close()


async def test_answer_that_turns_private_later_is_never_asked_for_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The addresses that were checked are the ones handed out; a connection has no look-up of its own."""
    answers = iter(["93.184.216.34", "127.0.0.1"])

    def getaddrinfo(host: str, port: int, **_: object) -> list[tuple[object, ...]]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (next(answers), port))]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    guard = Guard()
    resolver = GuardedResolver(guard, 1)
    first = await resolver.resolve("rebinding.example", 80)
    assert [ip_address(one["host"]) for one in first] == [ip_address("93.184.216.34")]
    with pytest.raises(AddressRefused):
        await resolver.resolve("rebinding.example", 80)
    with pytest.raises(AddressRefused):
        guard.open_socket((socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 80)))
    await resolver.close()
