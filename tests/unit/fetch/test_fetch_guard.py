"""The guard against private addresses."""

from __future__ import annotations

import socket
from ipaddress import ip_address

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from callrouter.fetch.guard import AddressRefused, Guard, GuardedResolver, HostPort, IpAddress, is_public

FORBIDDEN = [
    "0.0.0.0 0.1.2.3 10.0.0.1 100.64.0.1 100.100.100.200 127.0.0.1 127.255.255.254 169.254.169.254",
    "172.16.0.1 172.31.255.255 192.0.0.192 192.0.2.1 192.88.99.1 192.168.1.1 198.18.0.1 198.51.100.7",
    "203.0.113.9 224.0.0.1 239.1.1.1 240.0.0.1 255.255.255.255",
    ":: ::1 ::127.0.0.1 ::ffff:127.0.0.1 ::ffff:10.0.0.1 64:ff9b::7f00:1 64:ff9b::a9fe:a9fe 64:ff9b:1::1",
    "100::1 2001::1 2001:db8::1 2002:7f00:1:: 3fff::1 fc00::1 fd00:ec2::254 fe80::1 fec0::1 ff02::1 5f00::1",
]


@pytest.mark.parametrize("text", " ".join(FORBIDDEN).split())
def test_special_addresses_are_not_public(text: str) -> None:
    assert not is_public(ip_address(text))
    with pytest.raises(AddressRefused):
        Guard().check_host(text, 80)


@pytest.mark.parametrize(
    "text", ["1.1.1.1", "93.184.216.34", "2606:4700::1111", "64:ff9b::101:101", "172.32.0.1"]
)
def test_public_addresses_pass(text: str) -> None:
    assert is_public(ip_address(text))
    Guard().check_host(text, 443)


@pytest.mark.parametrize(
    "host", ["127.1", "0x7f.1", "0x7f000001", "2130706433", "0177.0.0.1", "1", "fe80::1%eth0"]
)
def test_odd_spellings_of_addresses_are_refused_before_any_look_up(host: str) -> None:
    with pytest.raises(AddressRefused):
        Guard().check_host(host, 80)


@settings(max_examples=300, deadline=None)
@given(st.ip_addresses())
def test_nothing_the_standard_library_calls_private_is_public(address: IpAddress) -> None:
    assert not is_public(address) or address.is_global


def test_exceptions_are_exact_in_host_and_port() -> None:
    guard = Guard(allow=["127.0.0.1:8090", "[::1]:8091"])
    guard.check_host("127.0.0.1", 8090)
    guard.check_host("::1", 8091)
    for host, port in [("127.0.0.1", 8091), ("127.0.0.2", 8090), ("::ffff:127.0.0.1", 8090), ("::1", 8090)]:
        with pytest.raises(AddressRefused, match=r"fetch\.allow_private"):
            guard.check_host(host, port)


@pytest.mark.parametrize(
    "text", ["127.0.0.1", "*:80", "10.0.0.0/8:80", "h:", ":80", "h:0", "h:99999", "::1:80"]
)
def test_exception_that_is_not_exact_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"127\.0\.0\.1:8080|brackets"):
        HostPort.parse(text)


@pytest.mark.parametrize("bound", ["127.0.0.1", "0.0.0.0", "::"])
def test_own_listener_is_refused_even_when_listed(bound: str) -> None:
    guard = Guard(allow=["127.0.0.1:8080", "0.0.0.0:8080"], own=[(bound, 8080)])
    for host in ("127.0.0.1", "0.0.0.0"):
        with pytest.raises(AddressRefused, match="listener of this server"):
            guard.check_host(host, 8080)


def test_the_program_may_admit_its_private_listener() -> None:
    guard = Guard(own=[("127.0.0.1", 8085)])
    guard.admit("127.0.0.1", 8085)
    guard.check_host("127.0.0.1", 8085)


def _answers(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> None:
    def getaddrinfo(host: str, port: int, **_: object) -> list[tuple[object, ...]]:
        return [
            (socket.AF_INET6 if ":" in one else socket.AF_INET, socket.SOCK_STREAM, 6, "", (one, port))
            for one in addresses
        ]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)


async def test_name_with_one_private_address_among_public_ones_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _answers(monkeypatch, "93.184.216.34", "10.0.0.1")
    resolver = GuardedResolver(Guard(), 1)
    with pytest.raises(AddressRefused):
        await resolver.resolve("mixed.example", 80)
    await resolver.close()


async def test_name_is_resolved_to_the_addresses_that_were_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    _answers(monkeypatch, "93.184.216.34")
    resolver = GuardedResolver(Guard(), 1)
    assert [one["host"] for one in await resolver.resolve("public.example", 80)] == ["93.184.216.34"]
    await resolver.close()


async def test_listed_name_may_be_private_and_only_its_port_gets_a_socket(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _answers(monkeypatch, "10.0.0.7")
    guard = Guard(allow=["Modules.internal:8090"])
    resolver = GuardedResolver(guard, 1)
    assert [one["host"] for one in await resolver.resolve("modules.internal", 8090)] == ["10.0.0.7"]
    await resolver.close()
    guard.open_socket((socket.AF_INET, socket.SOCK_STREAM, 6, "", ("10.0.0.7", 8090))).close()
    with pytest.raises(AddressRefused):
        guard.open_socket((socket.AF_INET, socket.SOCK_STREAM, 6, "", ("10.0.0.7", 22)))


def test_no_socket_is_made_for_a_private_address_however_it_was_found() -> None:
    with pytest.raises(AddressRefused):
        Guard().open_socket((socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("::ffff:10.0.0.1", 80, 0, 0)))
