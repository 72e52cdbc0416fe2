from __future__ import annotations

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dispatcher.targets import (
    MAX_LENGTH,
    ApplicationTarget,
    BadTarget,
    BridgeTarget,
    InlineTarget,
    ModuleTarget,
    OutletTarget,
    ResumeTarget,
    UrlTarget,
    parse_target,
)

AP = "AP" + "0a" * 16


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("https://acme.example/voice", UrlTarget("https://acme.example/voice")),
        ("  http://127.0.0.1:8081/menu?x=1#rc=2 ", UrlTarget("http://127.0.0.1:8081/menu?x=1#rc=2")),
        ("HTTPS://acme.example", UrlTarget("HTTPS://acme.example")),
        ("http://[::1]:8080/", UrlTarget("http://[::1]:8080/")),
        ("https://user:pass@acme.example/", UrlTarget("https://user:pass@acme.example/")),
        ("module:acme.menu", ModuleTarget("acme.menu")),
        (
            "module:acme.menu?lang=de&greeting=Guten%20Tag",
            ModuleTarget("acme.menu", (("lang", "de"), ("greeting", "Guten Tag"))),
        ),
        ("outlet:agent", OutletTarget("agent")),
        ("outlet:paid?amount=5&note=", OutletTarget("paid", (("amount", "5"), ("note", "")))),
        (f"app:{AP}", ApplicationTarget(AP)),
        (f"app:{AP}/survey?a=b", ApplicationTarget(AP, "survey", (("a", "b"),))),
        ("tel:+15550100", BridgeTarget("tel:+15550100")),
        ("tel:+1-555-0100;phone-context=x", BridgeTarget("tel:+15550100")),
        ("tel:+15550100?timeout=20", BridgeTarget("tel:+15550100", (("timeout", "20"),))),
        ("tel:112", BridgeTarget("tel:112")),
        ("sip:agent@127.0.0.1:5082", BridgeTarget("sip:agent@127.0.0.1:5082")),
        (
            "SIP:agent@Example.com;transport=tcp?X-Queue=7",
            BridgeTarget("sip:agent@Example.com;transport=tcp?X-Queue=7"),
        ),
        ("sips:agent@example.com", BridgeTarget("sips:agent@example.com")),
        ("sip:[2001:db8::1]:5060", BridgeTarget("sip:[2001:db8::1]:5060")),
        ("client:alice", BridgeTarget("client:alice")),
        ("client:alice?vip=1", BridgeTarget("client:alice", (("vip", "1"),))),
        ("resume:", ResumeTarget()),
        ("inline:", InlineTarget()),
    ],
)
def test_every_form_of_target_is_read(text: str, expected: object) -> None:
    assert parse_target(text) == expected


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("", "is empty"),
        ("/relative/path", "no scheme"),
        ("voice.xml", "no scheme"),
        ("ftp://acme.example/x", "'ftp' is not one of"),
        ("javascript:alert(1)", "is not one of https:, http:"),
        ("https:///voice", "names no host"),
        ("https://acme.example:99999/", "cannot be read"),
        ("https://[::1/", "cannot be read"),
        ("https://acme.example/a b", "percent-encode"),
        ("https://acme.example/a\r\nX-Injected: 1", "percent-encode"),
        ("module:acme", "module:owner.name"),
        ("module:Acme.Menu", "module:owner.name"),
        ("module:", "module:owner.name"),
        ("outlet:", "outlet:name"),
        ("outlet:a/b", "outlet:name"),
        ("app:demo", "app:AP and 32 hexadecimal digits"),
        ("tel:", "no telephone number"),
        ("tel:alice", "no telephone number"),
        ("sip:", "no SIP URI"),
        ("sip:agent@", "no SIP URI"),
        ("sip:agent@host:123456", "no SIP URI"),
        ("client:", "names no client"),
        ("resume:now", "nothing may follow"),
        ("https://acme.example/" + "x" * MAX_LENGTH, "characters long"),
    ],
)
def test_what_is_no_target_is_refused_with_what_was_expected(text: str, hint: str) -> None:
    with pytest.raises(BadTarget) as refused:
        parse_target(text)
    assert hint in str(refused.value)


@settings(max_examples=300, deadline=None)
@given(
    st.one_of(
        st.text(max_size=60),
        st.builds(
            "{}:{}".format,
            st.sampled_from(
                ["https", "http", "module", "outlet", "app", "tel", "sip", "sips", "client", "resume"]
            ),
            st.text(max_size=60),
        ),
    )
)
def test_any_text_is_a_target_or_a_bad_target(text: str) -> None:
    with contextlib.suppress(BadTarget):
        parse_target(text)
