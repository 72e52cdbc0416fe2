"""What the door answers without asking, held against the core: nothing else, and nothing otherwise."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from callrouter.sip.protocol.hop import Hop
from callrouter.sip.protocol.shield import Judgement, Shield, ShieldSettings
from tests.protocol.mutations import mutants, originals
from tests.protocol.stranger import CONTACT, invite, text
from tests.protocol.turned_away import refused
from tests.protocol.wire import SECOND, counting_tokens

HOP = Hop("udp", "192.0.2.9", 1024)


def checked(data: bytes) -> bool:
    """Whether the door answers; what it answers is found to be the gate's."""
    asked = refused(data, HOP)
    if asked is None:
        return False
    shield = Shield(ShieldSettings(calls_per_second=0.001, scanners=()), counting_tokens("c"), lambda _: True)
    assert shield.judge(asked, HOP, SECOND) is Judgement.OVERLOADED
    return True


@pytest.mark.parametrize("name", originals())
def test_the_torture_messages(name: str) -> None:
    checked(originals()[name])


def test_what_becomes_of_the_torture_messages_by_chance() -> None:
    answered = [name for name, data in mutants(11, 40) if checked(data)]
    assert len(answered) > 20


def test_an_ordinary_invite_is_answered() -> None:
    assert checked(invite().encode())
    assert checked(invite("X: " + "y" * 4000).encode())
    assert checked(b"\r\n\r\n" + invite().encode())


@pytest.mark.parametrize(
    "message",
    [
        *(text(method, CONTACT) for method in ("ACK", "BYE", "CANCEL", "OPTIONS", "REGISTER", "invite")),
        invite(to_tag="ours"),
        invite().replace("To: ", "To:\r\n "),
        invite().replace("SIP/2.0/UDP", "SIP/2.0/TCP"),
    ],
)
def test_what_is_not_a_plain_new_call_is_the_cores_to_answer(message: str) -> None:
    assert refused(message.encode(), HOP) is None


_WORD = st.text(st.sampled_from('abzAZ09-._;=<>"@:, \t\x7f\u00e9'), max_size=12)
_PARAMETERS = st.lists(
    st.sampled_from([";rport", ";rport=7", ";received=1.2.3.4", ";x", ";x=rport", ";Y=z", ";ttl=1"]),
    max_size=4,
).map("".join)


@settings(max_examples=300, deadline=None)
@example(host=HOP.host, parameters="", display='"', behind='"', call_id="", field="")
@given(
    host=st.sampled_from(
        [HOP.host, "192.0.2.7:5062", "example.com", "[2001:db8::1]:5060", "[2001:db8:::1]", "a:0"]
    ),
    parameters=_PARAMETERS,
    display=_WORD,
    behind=_WORD,
    call_id=_WORD,
    field=_WORD,
)
def test_whatever_an_invite_is_made_of(
    host: str, parameters: str, display: str, behind: str, call_id: str, field: str
) -> None:
    message = (
        invite(f"X-{field}: {field}", call_id=call_id or "c")
        .replace("192.0.2.9:5060;branch=z9hG4bK1", f"{host};branch=z9hG4bK1{parameters}")
        .replace("To: <sip:bob@192.0.2.2>", f"To: {display}<sip:bob@192.0.2.2>{behind}")
    )
    checked(message.encode())
