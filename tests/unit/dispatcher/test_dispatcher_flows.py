from __future__ import annotations

from dispatcher.flows import DENIED, ENDED, FAILED, Application, Instance

APPLICATION = Application(
    sid="AP" + "0" * 32,
    name="demo",
    account_sid="AC",
    start="menu",
    instances={name: Instance(name, f"acme.{name}") for name in ("menu", "bridge", "survey")},
    edges={("menu", "agent"): "bridge", ("menu", "message"): "survey", ("survey", DENIED): "menu"},
    events={("bridge", ENDED): "survey", ("bridge", FAILED): "https://acme.example/busy"},
)


def test_an_edge_leads_from_an_outlet_to_an_instance() -> None:
    follower = APPLICATION.next("menu", "agent")
    assert follower is not None
    assert follower.name == "bridge"


def test_an_unwired_outlet_leads_nowhere() -> None:
    assert APPLICATION.next("menu", "nowhere") is None
    assert APPLICATION.next("survey", "agent") is None


def test_wired_outlets_are_listed_for_messages() -> None:
    assert APPLICATION.outlets("menu") == ("agent", "message")


def test_an_event_maps_to_an_instance_or_to_any_target() -> None:
    assert APPLICATION.on("bridge", ENDED) == f"app:{APPLICATION.sid}/survey"
    assert APPLICATION.on("bridge", FAILED) == "https://acme.example/busy"
    assert APPLICATION.on("menu", ENDED) is None


def test_denied_is_found_as_outlet_or_as_event() -> None:
    assert APPLICATION.denied("survey") == f"app:{APPLICATION.sid}/menu"
    assert APPLICATION.denied("menu") is None
