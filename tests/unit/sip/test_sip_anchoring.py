"""Where a description may have media sent, by where it came from."""

from __future__ import annotations

import ipaddress

import pytest

from callrouter.ports import MediaAddress
from callrouter.sip.protocol import sdp
from callrouter.sip.protocol.anchoring import anchored
from callrouter.sip.protocol.offer import NothingFits, agree

FAR = "203.0.113.2"
FAR_6 = "2001:db8::2"


def offer(host: str, *lines: str) -> sdp.SessionDescription:
    family = "IP6" if ":" in host else "IP4"
    head = ["v=0", f"o=- 1 1 IN {family} {host}", "s=-", f"c=IN {family} {host}", "t=0 0"]
    return sdp.parse("\r\n".join([*head, "m=audio 4000 RTP/AVP 0", *lines, ""]).encode())


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "169.254.169.254", "10.1.2.3", "192.168.7.7"])
def test_what_a_distant_peer_may_not_name_becomes_where_it_is(host: str) -> None:
    agreed = agree(anchored(offer(host), FAR)).audio
    assert agreed.remote == MediaAddress(FAR, 4000)
    assert agreed.remote_rtcp == MediaAddress(FAR, 4001)


@pytest.mark.parametrize("host", ["::1", "fe80::1", "fd00::1"])
def test_so_it_is_with_ipv6(host: str) -> None:
    assert agree(anchored(offer(host), FAR_6)).audio.remote == MediaAddress(FAR_6, 4000)


@pytest.mark.parametrize("host", ["203.0.113.2", "203.0.113.77", "8.8.8.8"])
def test_public_addresses_may_be_named(host: str) -> None:
    assert agree(anchored(offer(host), FAR)).audio.remote == MediaAddress(host, 4000)


@pytest.mark.parametrize(
    ("host", "source"),
    [
        ("255.255.255.255", FAR),
        ("224.0.0.1", FAR),
        ("240.0.0.1", FAR),
        ("64:ff9b::7f00:1", FAR_6),
        ("::1", FAR),
        ("127.0.0.1", FAR_6),
    ],
)
def test_what_is_nobodys_address_is_no_offer(host: str, source: str) -> None:
    with pytest.raises(NothingFits):
        agree(anchored(offer(host), source))


@pytest.mark.parametrize(("host", "source"), [("127.0.0.1", "127.0.0.5"), ("10.0.0.9", "10.0.0.1")])
def test_neighbours_may_name_each_other(host: str, source: str) -> None:
    assert agree(anchored(offer(host), source)).audio.remote == MediaAddress(host, 4000)


def test_operators_may_allow_more() -> None:
    inside = (ipaddress.ip_network("10.1.0.0/16"),)
    assert agree(anchored(offer("10.1.2.3"), FAR, inside)).audio.remote == MediaAddress("10.1.2.3", 4000)


def test_reports_go_nowhere_else_either() -> None:
    named = agree(anchored(offer(FAR, "a=rtcp:53 IN IP4 127.0.0.1"), FAR)).audio
    assert named.remote_rtcp == MediaAddress(FAR, 53)
    kept = agree(anchored(offer(FAR, "a=rtcp:53 IN IP4 203.0.113.9"), FAR)).audio
    assert kept.remote_rtcp == MediaAddress("203.0.113.9", 53)


def test_a_hold_of_old_stays_one() -> None:
    for zero, source in (("0.0.0.0", FAR), ("::", FAR_6), ("0::0", FAR_6)):
        agreed = agree(anchored(offer(zero), source)).audio
        assert agreed.direction.value == "recvonly"


def test_lines_that_are_passed_on_are_held_to_it_too() -> None:
    description = anchored(offer(FAR, "m=video 5000 RTP/AVP 96", "c=IN IP4 127.0.0.1"), FAR)
    assert [line.host for line in description.media] == [FAR, FAR]


def test_a_source_that_is_not_known_bounds_nothing() -> None:
    assert agree(anchored(offer("127.0.0.1"), "")).audio.remote == MediaAddress("127.0.0.1", 4000)
