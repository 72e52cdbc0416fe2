from __future__ import annotations

import pytest

from modules.library.bridge import DECLARATION, document
from modules.module import Layer, Module, Parameter, ParameterType, module_sid, self_module


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [
        (ParameterType.TEXT, "anything ü", None),
        (ParameterType.INTEGER, "-12", "1.5"),
        (ParameterType.DECIMAL, "1.50", "NaN"),
        (ParameterType.DECIMAL, "-3", "x"),
        (ParameterType.BOOLEAN, "true", "yes"),
        (ParameterType.NUMBER, "+15550100", "15550100"),
        (ParameterType.TARGET, "sip:agent@example.com", "agent"),
    ],
)
def test_parameters_are_typed(kind: ParameterType, good: str, bad: str | None) -> None:
    module = Module("acme.menu", "acme", Layer.APPLICATION, parameters=(Parameter("p", kind),))
    assert module.wrong_parameters({"p": good}) == ""
    if bad is not None:
        assert f"parameter p of acme.menu is {bad!r}" in module.wrong_parameters({"p": bad})


def test_choices_missing_and_undeclared_parameters() -> None:
    module = Module(
        "acme.menu",
        "acme",
        Layer.APPLICATION,
        parameters=(Parameter("size", choices=("s", "l")), Parameter("name", required=True, default="x")),
    )
    assert "expected one of s, l" in module.wrong_parameters({"size": "m", "name": "n"})
    assert "parameter name of acme.menu is missing" in module.wrong_parameters({})
    assert module.wrong_parameters({"name": "n", "Digits": "1"}) == ""
    assert module.defaults == {"name": "x"}


def test_a_module_id_is_a_fixed_function_of_its_code() -> None:
    assert module_sid("platform.bridge") == module_sid("platform.bridge") == DECLARATION.sid
    assert module_sid("a.b") != module_sid("a.c")
    assert len(module_sid("a.b")) == 34


def test_self_is_the_accounts_own_and_open_to_it() -> None:
    own = self_module("demo", secret="token", plan="own")
    assert (own.code, own.owner, own.layer, own.is_open) == ("demo.self", "demo", Layer.APPLICATION, True)
    assert "token" not in repr(own)


def test_the_bridge_runs_a_dial_of_its_target() -> None:
    body = document("sip:a@b;x=1?h=<", {"timeout": "20", "unknown": "x"})
    assert body.endswith(b'<Response><Dial timeout="20"><Sip>sip:a@b;x=1?h=&lt;</Sip></Dial></Response>')
    assert b"<Number>+15550100</Number>" in document("tel:+15550100", {})
    assert b"<Client>bob</Client>" in document("client:bob", {})
