"""Reading parameters of the compatible API."""

from __future__ import annotations

import pytest

from callrouter.api.compat.errors import RestError
from callrouter.api.compat.form import Form
from callrouter.api.compat.times import period, rfc2822

MS = 1_577_934_245_000  # 2020-01-02T03:04:05Z
DAY = 1_577_923_200_000


@pytest.mark.parametrize(
    ("pairs", "words"),
    [
        ([], {"completed"}),
        ([("E", "initiated"), ("E", "ringing")], {"initiated", "ringing"}),
        ([("E", "initiated ringing")], {"initiated", "ringing"}),
        ([("E", "initiated, ringing")], {"initiated", "ringing"}),
    ],
)
def test_lists_come_as_repeated_keys_or_in_one_value(pairs: list[tuple[str, str]], words: set[str]) -> None:
    assert Form(pairs).words("E", "completed") == words


@pytest.mark.parametrize("text", ["-1", "1.5", "１", "1e3", "9" * 5000, "0", "11", "x"])
def test_numbers_out_of_range_or_form_are_refused(text: str) -> None:
    with pytest.raises(RestError):
        Form([("N", text)]).whole("N", 5, 1, 10)


def test_absent_and_empty_parameters_take_the_default() -> None:
    form = Form([("N", ""), ("M", ""), ("F", "")])
    assert (form.whole("N", 5, 1, 10), form.method("M"), form.flag("F")) == (5, "POST", False)
    assert (form.whole("X", 5, 1, 10), form.method("X"), form.url("X")) == (5, "POST", "")


@pytest.mark.parametrize(
    "text", ["voice.xml", "//h/x", "http://", "javascript:alert(1)", "http://[::1", "h" * 5000]
)
def test_what_is_no_absolute_url_is_refused(text: str) -> None:
    for read in (Form([("U", text)]).url, Form([("U", text)]).target):
        with pytest.raises(RestError) as raised:
            read("U")
        assert (raised.value.status, raised.value.code) == (400, 21205)


@pytest.mark.parametrize(
    "text", ["module:a.b?x=1", "outlet:paid", "app:AP1", "sip:a@b", "tel:+1555", "resume:"]
)
def test_targets_are_accepted_where_control_passes_but_not_as_callbacks(text: str) -> None:
    assert Form([("U", text)]).target("U") == text
    with pytest.raises(RestError):
        Form([("U", text)]).url("U")


@pytest.mark.parametrize(
    ("text", "span"),
    [
        ("2020-01-02", (DAY, DAY + 86_400_000)),
        ("2020-01-02T00:00:00Z", (DAY, DAY + 86_400_000)),
        ("2020-01-02T03:04:05Z", (MS, MS + 1000)),
        ("2020-01-02T05:04:05+02:00", (MS, MS + 1000)),
        ("2020-01-02T03:04:05", (MS, MS + 1000)),
    ],
)
def test_date_filters_mean_a_day_or_a_second(text: str, span: tuple[int, int]) -> None:
    assert period("StartTime", text) == span


@pytest.mark.parametrize("text", ["", "yesterday", "2020-13-01", "99999-01-01", "2020-01-02T25:00:00Z"])
def test_other_dates_are_refused(text: str) -> None:
    with pytest.raises(RestError):
        period("StartTime", text)


def test_dates_are_written_as_the_field_does() -> None:
    assert rfc2822(1_282_266_822_999) == "Fri, 20 Aug 2010 01:13:42 +0000"
    assert rfc2822(None) is None
