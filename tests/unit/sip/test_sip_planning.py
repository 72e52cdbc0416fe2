"""From targets to plans: users, addresses, and numbers through carriers."""

from __future__ import annotations

import itertools
from collections import Counter

import pytest

from callrouter.errors import Unroutable
from callrouter.ports import MediaAddress, OutgoingCall
from callrouter.sip.invitations import InvitationWriter
from callrouter.sip.plan import Plan
from callrouter.sip.planning import NotRegistered, Planner
from callrouter.sip.protocol.agent import Agent, AgentSettings
from callrouter.sip.protocol.domains import Domains
from callrouter.sip.protocol.hop import Hop, Listener
from callrouter.sip.protocol.registration import Bindings, Registering, Wanted
from callrouter.sip.protocol.uri import Uri, escape_user
from callrouter.sip.registrar_settings import RegistrarSettings, User
from callrouter.sip.resolver import Place
from callrouter.sip.settings import Settings, Trunk
from callrouter.sip.trunk_settings import Gateway, Numbers, PrefixRule
from callrouter.sip.trunks import Trunks

MEDIA = MediaAddress("192.0.2.2", 4000)
PHONE = Hop("udp", "203.0.113.5", 41000)


class StillClock:
    def monotonic_ns(self) -> int:
        return 0

    def utc_ms(self) -> int:
        return 0


class Office:
    def __init__(self, *trunks: Trunk, default_trunk: str = "") -> None:
        chance = itertools.count()
        settings = Settings(
            trunks=trunks,
            default_trunk=default_trunk,
            registrar=RegistrarSettings(
                users=(User(name="alice", password="x"), User(name="bob", password="y")),
                domains=("example.org",),
            ),
        )

        def token(size: int) -> str:
            return f"{next(chance):0{size * 2}x}"

        self.agent = Agent(AgentSettings(), token)
        self.agent.listeners += [Listener("udp", "192.0.2.2", 5060), Listener("tcp", "192.0.2.2", 5060)]
        self.trunks = Trunks(settings, token)
        self.bindings = Bindings()
        domains = Domains(settings.registrar.domains, self.agent.listeners)
        self.planner = Planner(settings, self.agent, self.trunks, domains, self.bindings, StillClock())

    def register(self, user: str, *contacts: str, path: str = "") -> None:
        how = Registering("r", 1, PHONE, (path,) if path else ())
        wanted = [
            Wanted(Uri.parse(c.partition(" ")[0]), 60, int(c.partition(" ")[2] or 1000)) for c in contacts
        ]
        self.bindings.change(user, wanted, how, 0)

    def fields(self, call: OutgoingCall) -> tuple[str, dict[str, str]]:
        """From and the further headers of the INVITE."""
        plan = self.planner.plan(call.target, call.trunk)
        invitation = InvitationWriter(self.agent, self.trunks).writer(call, plan)(plan.groups[0][0])
        return invitation.caller, dict(invitation.fields)


def where(plan: Plan) -> list[list[Place | Hop]]:
    return [[destination.where for destination in group] for group in plan.groups]


def office() -> Office:
    a = Trunk(name="a", host="192.0.2.1", port=5080, transport="tcp", username="u", password="p")
    b = Trunk(name="b", host="sip.example.com", domain="example.com")
    return Office(a, b, default_trunk="b")


def test_a_number_goes_through_the_named_or_the_default_trunk() -> None:
    by_default, named = office().planner.plan("+15550100"), office().planner.plan("tel:+15550100", "a")
    assert where(by_default) == [[Place("sip.example.com")]]
    assert by_default.groups[0][0].uri == "sip:+15550100@example.com"
    assert by_default.credentials is None
    assert where(named) == [[Place("192.0.2.1", 5080, "tcp")]]
    assert named.groups[0][0].uri == "sip:+15550100@192.0.2.1:5080;transport=tcp"
    assert named.credentials is not None


def test_a_sip_uri_is_called_where_it_says() -> None:
    plan = office().planner.plan("sip:bob@[2001:db8::1]:5070;transport=TCP?X=y")
    assert where(plan) == [[Place("2001:db8::1", 5070, "tcp")]]
    assert plan.groups[0][0].uri == "sip:bob@[2001:db8::1]:5070;transport=TCP"


def test_a_name_without_port_and_transport_is_left_to_the_dns() -> None:
    assert where(office().planner.plan("sip:bob@example.com")) == [[Place("example.com")]]
    assert where(office().planner.plan("sip:bob@example.com:5070")) == [[Place("example.com", 5070, "udp")]]
    assert where(office().planner.plan("sip:bob@192.0.2.7")) == [[Place("192.0.2.7", 0, "udp")]]


@pytest.mark.parametrize(
    ("target", "why"),
    [
        ("sip:", "not a SIP URI"),
        ("sip:bob@example.com;transport=tls", "nothing listens there"),
        ("sips:bob@example.com", "nothing listens there"),
        ("", "not a number"),
        ("12 34", "not a number"),
        ("client:carol", "no such user"),
        ("client:alice", "nothing has registered"),
        ("sip:alice@example.org", "nothing has registered"),
    ],
)
def test_what_cannot_be_called(target: str, why: str) -> None:
    with pytest.raises(Unroutable, match=why):
        office().planner.plan(target)


def test_a_user_without_a_telephone_is_unavailable_rather_than_unknown() -> None:
    with pytest.raises(NotRegistered) as error:
        office().planner.plan("client:alice")
    assert error.value.sip_status == 480


def test_a_trunk_that_only_calls_us_cannot_be_called() -> None:
    quiet = Trunk(name="quiet", sources=("192.0.2.0/24",))
    with pytest.raises(Unroutable, match="no gateway"):
        Office(quiet).planner.plan("+15550100", "quiet")
    with pytest.raises(Unroutable, match="no trunk is configured"):
        Office(quiet).planner.plan("+15550100")


@pytest.mark.parametrize(
    "target",
    ["client:alice", "sip:alice@example.org", "sip:%61lice@192.0.2.2", "sip:alice@192.0.2.2:5060;x=y"],
)
def test_a_user_is_called_at_all_contacts_by_preference(target: str) -> None:
    ours = office()
    ours.register("alice", "sip:a@10.0.0.1 500", "sip:b@203.0.113.5:5062", "sip:c@10.0.0.2 500")
    plan = ours.planner.plan(target)
    assert where(plan) == [[Hop("udp", "203.0.113.5", 5062)], [PHONE, PHONE]]
    assert [d.uri for group in plan.groups for d in group] == [
        "sip:b@203.0.113.5:5062",
        "sip:a@10.0.0.1",
        "sip:c@10.0.0.2",
    ]


@pytest.mark.parametrize(
    "target", ["sip:alice@192.0.2.2:5090", "sip:alice@elsewhere.example", "sip:dave@example.org"]
)
def test_an_address_that_is_nobodys_of_ours_is_called_where_it_says(target: str) -> None:
    ours = office()
    ours.register("alice", "sip:a@10.0.0.1")
    assert isinstance(ours.planner.plan(target).groups[0][0].where, Place)


def test_a_telephone_behind_a_proxy_is_called_through_it() -> None:
    ours = office()
    ours.register("alice", "sip:a@10.0.0.1", path="<sip:203.0.113.5;lr>")
    _, fields = ours.fields(OutgoingCall("client:alice", "+15550100", "", MEDIA))
    assert fields["Route"] == "<sip:203.0.113.5;lr>"


def gateways(ours: Office, name: str = "") -> list[str]:
    return [group[0].where.host for group in ours.planner.plan("+15550100", name).groups]


def test_gateways_are_tried_by_priority_and_share_calls_by_weight() -> None:
    ours = Office(
        Trunk(
            name="a",
            gateways=(
                Gateway(host="192.0.2.13", priority=2),
                Gateway(host="192.0.2.11", priority=1, weight=3),
                Gateway(host="192.0.2.12", priority=1, weight=1),
            ),
        )
    )
    orders = [gateways(ours) for _ in range(40)]
    assert {order[2] for order in orders} == {"192.0.2.13"}
    assert Counter(order[0] for order in orders) == {"192.0.2.11": 30, "192.0.2.12": 10}


def test_a_gateway_that_is_down_comes_last() -> None:
    first, second = Gateway(host="192.0.2.11"), Gateway(host="192.0.2.12", priority=1)
    ours = Office(Trunk(name="a", gateways=(first, second)))
    ours.trunks.down.add(("a", first))
    assert gateways(ours) == ["192.0.2.12", "192.0.2.11"]


def test_a_carrier_gets_numbers_its_own_way() -> None:
    british = Trunk(
        name="a",
        host="192.0.2.1",
        numbers=Numbers(
            style="national", country_code="44", rules_out=(PrefixRule(prefix="00", replacement="9#"),)
        ),
        identity="p-asserted-identity",
        domain="carrier.example",
    )
    call = OutgoingCall("+442071838750", "+442071838751", 'The "Office"', MEDIA)
    ours = Office(british)
    assert ours.planner.plan("+442071838750").groups[0][0].uri == "sip:02071838750@carrier.example"
    assert ours.planner.plan("+12125550100").groups[0][0].uri == "sip:9#12125550100@carrier.example"
    sender, fields = ours.fields(call)
    assert sender == '"The \\"Office\\"" <sip:02071838751@carrier.example>'
    assert fields == {"P-Asserted-Identity": sender}


@pytest.mark.parametrize(
    ("identity", "header", "value"),
    [
        ("p-asserted-identity", "P-Asserted-Identity", "<sip:+442071838751@carrier.example>"),
        ("p-preferred-identity", "P-Preferred-Identity", "<sip:+442071838751@carrier.example>"),
        (
            "remote-party-id",
            "Remote-Party-ID",
            "<sip:+442071838751@carrier.example>;party=calling;privacy=full;screen=yes",
        ),
    ],
)
def test_a_private_caller_is_named_to_the_carrier_only(identity: str, header: str, value: str) -> None:
    ours = Office(Trunk(name="a", host="192.0.2.1", domain="carrier.example", identity=identity))
    sender, fields = ours.fields(OutgoingCall("+1", "+442071838751", "", MEDIA, is_private=True))
    assert sender == '"Anonymous" <sip:anonymous@anonymous.invalid>'
    assert fields == {header: value, "Privacy": "id"}


def test_a_call_that_was_passed_on_says_where_it_came_from() -> None:
    call = OutgoingCall("+1", "+12125550100", "", MEDIA, diverted_from="+442071838750")
    told = Trunk(name="a", host="192.0.2.1", domain="carrier.example", diversion=True)
    assert Office(told).fields(call)[1] == {
        "Diversion": "<sip:+442071838750@carrier.example>;reason=unconditional;counter=1"
    }
    assert Office(Trunk(name="a", host="192.0.2.1")).fields(call)[1] == {}


def test_a_document_cannot_forge_what_a_carrier_is_told() -> None:
    ours = Office(Trunk(name="a", host="192.0.2.1", identity="p-asserted-identity"))
    headers = (("P-Asserted-Identity", "<sip:+1@x>"), ("X-Mine", "yes"), ("Contact", "<sip:x@y>"))
    _, fields = ours.fields(OutgoingCall("+1", "+442071838751", "", MEDIA, headers))
    assert fields == {"P-Asserted-Identity": "<sip:+442071838751@192.0.2.2>", "X-Mine": "yes"}


@pytest.mark.parametrize("caller", ["", "unavailable", "Unknown"])
def test_a_caller_without_a_number_is_anonymous(caller: str) -> None:
    sender, fields = office().fields(OutgoingCall("+15550100", caller, "", MEDIA, responsible="+1555"))
    assert sender == "<sip:anonymous@anonymous.invalid>"
    assert fields == {}


@pytest.mark.parametrize("caller", ["anonymous", "Restricted", "sip:anonymous@anonymous.invalid"])
@pytest.mark.parametrize("trusted", [True, False])
def test_who_withholds_the_number_is_answered_for_to_trusted_carriers(caller: str, trusted: bool) -> None:
    trunk = Trunk(
        name="a", host="192.0.2.1", domain="c.example", identity="p-asserted-identity", trusted=trusted
    )
    call = OutgoingCall("+1", caller, "Somebody", MEDIA, responsible="+15550100")
    sender, fields = Office(trunk).fields(call)
    assert sender == '"Anonymous" <sip:anonymous@anonymous.invalid>'
    asserted = {"P-Asserted-Identity": '"Somebody" <sip:+15550100@c.example>'} if trusted else {}
    assert fields == {**asserted, "Privacy": "id"}


def test_user_parts_are_escaped() -> None:
    assert escape_user("+1 (5)@x") == "+1%20(5)%40x"
