"""Media settings that cannot work are refused with what to do about it."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from callrouter.media import Settings


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"bind_v4": None}, "bind_v4, bind_v6 or both"),
        ({"first_port": 20000, "last_port": 20000}, "make last_port larger"),
        ({"first_port": 20001, "last_port": 20002}, "make last_port larger"),
        ({"bind_v4": "0.0.0.0"}, "set advertise_v4"),
        ({"bind_v6": "::"}, "set advertise_v6"),
        ({"threads": 0}, "threads"),
        ({"color": "red"}, "color"),
    ],
)
def test_what_cannot_work_is_refused(given: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Settings.model_validate(given)


def test_the_advertised_address_is_the_bound_one_unless_another_is_given() -> None:
    settings = Settings.model_validate(
        {"bind_v4": "127.0.0.1", "bind_v6": "::", "advertise_v6": "2001:db8::1"}
    )
    assert (settings.advertised(4), settings.advertised(6)) == ("127.0.0.1", "2001:db8::1")
