"""The registrar: who may register what, for how long, and where calls then go."""

from __future__ import annotations

import pytest

from callrouter.sip.protocol.headers.address import Address
from callrouter.sip.protocol.hop import Hop
from callrouter.sip.protocol.message import Request, parse
from callrouter.sip.protocol.registration import SECOND
from tests.protocol.registering import USERS, Office, register_text, with_credentials
from tests.protocol.torture import read

CONTACT = "<sip:alice@192.0.2.9:5070>"


def test_a_telephone_registers_and_is_told_for_how_long() -> None:
    office = Office()
    response = office.register(CONTACT)
    assert response.status == 200
    assert response.get("Contact") == "<sip:alice@192.0.2.9:5070>;expires=3600"
    assert office.contacts() == ["sip:alice@192.0.2.9:5070"]


def test_whoever_has_not_proved_anything_is_challenged() -> None:
    office = Office()
    response = office.one(register_text("alice", f"Contact: {CONTACT}"))
    assert response.status == 401
    assert [v.partition("algorithm=")[2][:3] for v in response.all("WWW-Authenticate")] == ["SHA", "MD5"]
    assert office.contacts() == []


def test_who_answers_a_challenge_without_counting_on_has_come_by_no_second_path() -> None:
    office = Office()
    written = register_text("alice", f"Contact: {CONTACT}")
    answered = with_credentials(written, office.one(written), "alice", "wonderland")
    assert office.one(answered).status == 200
    assert office.one(answered.replace(b"branch=z9hG4bK", b"branch=z9hG4bKother")).status == 482


def test_nobody_learns_which_users_there_are() -> None:
    def seen(user: str) -> tuple[int, int, list[str]]:
        office = Office()
        first = office.one(register_text(user, f"Contact: {CONTACT}"))
        second = office.one(with_credentials(register_text(user, cseq=2), first, user, "guess"))
        names = [name for name, _ in second.fields]
        return first.status, second.status, names

    assert "carol" not in USERS
    assert seen("alice") == seen("carol") == (401, 403, seen("bob")[2])


def test_a_user_registers_nobody_else() -> None:
    office = Office()
    assert office.register(CONTACT, user="bob", password="builder", to="alice").status == 403
    assert office.contacts() == []


def test_credentials_that_were_listened_in_on_are_of_no_use_again() -> None:
    office = Office()
    challenge = office.one(register_text("alice"))
    sent = with_credentials(
        register_text("alice", f"Contact: {CONTACT}", cseq=2), challenge, "alice", "wonderland"
    )
    assert office.one(sent).status == 200
    replayed = (
        sent.replace(b"2 REGISTER", b"9 REGISTER").replace(b"reg-12x", b"other").replace(b"5070", b"6666")
    )
    response = office.one(replayed)
    assert response.status == 401
    assert "stale=true" in (response.get("WWW-Authenticate") or "")
    assert office.contacts() == ["sip:alice@192.0.2.9:5070"]


def test_a_contact_named_twice_is_as_it_was_named_last() -> None:
    office = Office()
    response = office.register(f"{CONTACT};expires=300", f"{CONTACT};expires=600")
    assert (response.status, response.get("Contact")) == (200, f"{CONTACT};expires=600")
    response = office.register(f"{CONTACT};expires=0", f"{CONTACT};expires=900")
    assert (response.status, response.get("Contact")) == (200, f"{CONTACT};expires=900")


def test_registrations_expire() -> None:
    office = Office()
    office.register(f"{CONTACT};expires=60")
    office.now += 59 * SECOND
    assert office.contacts()
    office.now += SECOND
    assert office.contacts() == []


@pytest.mark.parametrize(
    ("contact", "lines", "seconds"),
    [
        (CONTACT, (), 3600),
        (CONTACT, ("Expires: 120",), 120),
        (f"{CONTACT};expires=90", ("Expires: 120",), 90),
        (f"{CONTACT};expires=999999", (), 7200),
        (f"{CONTACT};expires=soon", (), 3600),
        (CONTACT, ("Expires: 99999999999999999999",), 3600),
    ],
)
def test_how_long_it_holds(contact: str, lines: tuple[str, ...], seconds: int) -> None:
    response = Office().register(contact, lines=lines)
    assert (response.get("Contact") or "").endswith(f";expires={seconds}")


def test_too_short_an_interval_is_refused_with_the_shortest() -> None:
    office = Office()
    response = office.register(f"{CONTACT};expires=5")
    assert (response.status, response.get("Min-Expires")) == (423, "60")
    assert response.reason == "Interval Too Brief"
    assert office.contacts() == []


def test_several_contacts_ring_by_preference_equals_together() -> None:
    office = Office()
    response = office.register("<sip:a@192.0.2.9>;q=0.5, <sip:b@192.0.2.9>", "<sip:c@192.0.2.9>;q=0.5")
    assert response.all("Contact") == [
        "<sip:b@192.0.2.9>;expires=3600",
        "<sip:a@192.0.2.9>;expires=3600;q=0.5",
        "<sip:c@192.0.2.9>;expires=3600;q=0.5",
    ]
    groups = office.registrar.bindings.groups("alice", office.now)
    assert [[b.contact.user for b in group] for group in groups] == [["b"], ["a", "c"]]


def test_a_register_without_contacts_asks_what_there_is() -> None:
    office = Office()
    office.register(CONTACT)
    office.now += 600 * SECOND
    assert office.register().all("Contact") == ["<sip:alice@192.0.2.9:5070>;expires=3000"]


def test_a_contact_is_removed_alone() -> None:
    office = Office()
    office.register(CONTACT, "<sip:alice@192.0.2.9:5080>")
    assert office.register(f"{CONTACT};expires=0").all("Contact") == [
        "<sip:alice@192.0.2.9:5080>;expires=3600"
    ]


def test_all_contacts_are_removed_with_a_star() -> None:
    office = Office()
    office.register(CONTACT, "<sip:alice@192.0.2.9:5080>")
    response = office.register("*", lines=("Expires: 0",))
    assert (response.status, list(response.all("Contact"))) == (200, [])
    assert office.contacts() == []


@pytest.mark.parametrize(
    ("contacts", "lines"),
    [
        (("*",), ()),
        (("*",), ("Expires: 60",)),
        (("*", CONTACT), ("Expires: 0",)),
        (("*", "*"), ("Expires: 0",)),
        (("<tel:+15550100>",), ()),
    ],
)
def test_contacts_that_make_no_sense_change_nothing(
    contacts: tuple[str, ...], lines: tuple[str, ...]
) -> None:
    office = Office()
    office.register(CONTACT)
    assert office.register(*contacts, lines=lines).status == 400
    assert office.contacts() == ["sip:alice@192.0.2.9:5070"]


def test_an_overtaken_register_changes_nothing() -> None:
    office = Office()
    office.register(CONTACT, cseq=20)
    assert office.register(f"{CONTACT};expires=0", cseq=10).status == 500
    assert office.register("*", lines=("Expires: 0",), cseq=12).status == 500
    assert office.register("<sip:new@192.0.2.9>", f"{CONTACT};expires=0", cseq=14).status == 500
    assert office.contacts() == ["sip:alice@192.0.2.9:5070"]
    assert office.register(f"{CONTACT};expires=0", cseq=2, call_id="rebooted").status == 200
    assert office.contacts() == []


def test_the_oldest_contact_gives_way_to_the_eleventh() -> None:
    office = Office()
    for port in range(5001, 5013):
        office.register(f"<sip:alice@192.0.2.9:{port}>", call_id=f"boot-{port}")
        office.now += SECOND
    assert sorted(office.contacts()) == [f"sip:alice@192.0.2.9:{p}" for p in range(5003, 5013)]
    many = [f"<sip:x@192.0.2.9:{port}>" for port in range(6001, 6012)]
    assert office.register(*many).status == 403


@pytest.mark.parametrize(
    ("contact", "source", "port"),
    [
        ("<sip:alice@192.0.2.9:5070>", "192.0.2.9", 5070),  # the telephone itself
        ("<sip:alice@192.0.2.9>", "192.0.2.9", 5060),
        ("<sip:alice@10.0.0.5:5070>", "192.0.2.9", 41000),  # behind a NAT
        ("<sip:alice@198.51.100.1>", "192.0.2.9", 41000),  # says it is somebody else
        ("<sip:alice@abc.invalid>", "192.0.2.9", 41000),
        ("<sip:alice@255.255.255.255>", "192.0.2.9", 41000),
    ],
)
def test_calls_go_where_the_registration_came_from(contact: str, source: str, port: int) -> None:
    office = Office().at(source, 41000)
    office.register(contact)
    (binding,) = office.registrar.bindings.of("alice", office.now)
    assert (binding.hop.host, binding.hop.port) == (source, port)


def test_over_a_stream_the_connection_is_used_and_lost_with_it() -> None:
    office = Office("tcp").at("192.0.2.9", 41000, connection=7)
    office.register("<sip:alice@10.0.0.5;transport=tcp>", "<sip:desk@192.0.2.9:5070;transport=tcp>")
    hops = {b.contact.user: b.hop for b in office.registrar.bindings.of("alice", office.now)}
    assert hops["alice"] == Hop("tcp", "192.0.2.9", 41000, 0, 7)
    assert hops["desk"] == Hop("tcp", "192.0.2.9", 5070, 0, 7)
    office.agent.connection_lost(Hop("tcp", "192.0.2.9", 41000, 0, 8), office.now)
    assert len(office.contacts()) == 2
    office.agent.connection_lost(office.hop, office.now)
    assert office.contacts() == ["sip:desk@192.0.2.9:5070;transport=tcp"]


@pytest.mark.parametrize("transport", ["tls", "ws", "wss"])
def test_a_telephone_that_only_makes_connections_is_called_by_the_one_it_made(transport: str) -> None:
    office = Office(transport).at("192.0.2.9", 41000, connection=7)
    office.register(f"<sip:alice@192.0.2.9:5070;transport={transport}>", "<sip:x@abc.invalid;transport=ws>")
    assert {b.hop for b in office.registrar.bindings.of("alice", office.now)} == {office.hop}
    office.agent.connection_lost(office.hop, office.now)
    assert office.contacts() == []


def test_a_path_is_kept_and_leads_back_through_the_proxy() -> None:
    office = Office().at("192.0.2.9", 5060)
    response = office.register("<sip:alice@192.0.2.9:5099>", lines=("Path: <sip:192.0.2.9;lr>",))
    assert response.get("Path") == "<sip:192.0.2.9;lr>"
    (binding,) = office.registrar.bindings.of("alice", office.now)
    assert (binding.hop.port, binding.routes) == (5060, ("<sip:192.0.2.9;lr>",))


def test_other_domains_are_not_served_where_domains_are_named() -> None:
    office = Office(domains=("example.com",))
    assert office.register(CONTACT, uri="sip:example.com").status == 200
    assert office.register(CONTACT, uri="sip:192.0.2.2").status == 200
    assert office.register(CONTACT, uri="sip:elsewhere.example").status == 404


def test_an_escaped_header_stays_with_the_contact_and_goes_into_no_request() -> None:
    office = Office()
    response = office.register("<sip:alice@192.0.2.9?Route=%3Csip:sip.example.com%3E>")
    assert response.get("Contact") == "<sip:alice@192.0.2.9?Route=%3Csip:sip.example.com%3E>;expires=3600"
    assert office.registrar.bindings.of("alice", office.now)[0].request_uri == "sip:alice@192.0.2.9"


@pytest.mark.parametrize(
    ("folder", "name", "contacts"),
    [
        ("rfc4475", "escnull", ["sip:%00@host5.example.com", "sip:%00%00@host5.example.com"]),
        ("rfc4475", "dblreq", ["sip:j.user@host.example.com"]),
        ("rfc4475", "regaut01", []),
        ("rfc4475", "cparam01", ["sip:+19725552222@gw1.example.net"]),
        ("rfc4475", "cparam02", ["sip:+19725552222@gw1.example.net;unknownparam"]),
        ("rfc4475", "regescrt", ["sip:user@example.com?Route=%3Csip:sip.example.com%3E"]),
        ("rfc5118", "ipv6-good", ["sip:caller@[2001:db8::1]"]),
        ("rfc5118", "port-ambiguous", ["sip:caller@[2001:db8::1]"]),
        ("rfc5118", "port-unambiguous", ["sip:caller@[2001:db8::1]"]),
    ],
)
def test_tortuous_registrations_hold_once_their_challenge_is_answered(
    folder: str, name: str, contacts: list[str]
) -> None:
    office = Office()
    sent = parse(read(folder, name))
    assert isinstance(sent, Request)
    user = Address.parse(sent.get("To") or "").uri.plain_user
    office.registrar._passwords = {user: "secret"}
    fields = [(n, v) for n, v in sent.fields if n != "Authorization"]
    plain = bytes(Request("REGISTER", sent.uri, fields)).decode("utf-8", "surrogateescape")
    assert office.one(with_credentials(plain, office.one(plain), user, "secret")).status == 200
    assert sorted(office.contacts(user)) == sorted(contacts)
