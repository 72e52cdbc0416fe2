from __future__ import annotations

from callrouter.declared.difference import Action, difference, rendered
from callrouter.declared.rows import Row


def _row(target: str = "https://a/", **more: str) -> Row:
    return Row("addresses", {"address": "+1"}, {"target": target, **more})


def test_what_is_new_is_added_and_what_stayed_is_not_touched() -> None:
    assert [c.action for c in difference([_row()], {})] == [Action.ADD]
    assert difference([_row()], {("addresses", "+1"): {"target": "https://a/"}}) == []


def test_only_columns_that_changed_in_the_file_are_written() -> None:
    [change] = difference(
        [_row("https://b/", method="GET")], {("addresses", "+1"): {"target": "https://a/", "method": "GET"}}
    )
    assert change.action is Action.CHANGE
    assert change.columns == {"target": ("https://a/", "https://b/")}


def test_a_column_that_the_schema_gained_is_written() -> None:
    [change] = difference([_row(method="GET")], {("addresses", "+1"): {"target": "https://a/"}})
    assert change.columns == {"method": (None, "GET")}


def test_what_the_file_no_longer_has_is_disabled_last() -> None:
    changes = difference([_row()], {("owners", "acme"): {"name": "Acme"}})
    assert [(c.action, c.table) for c in changes] == [(Action.ADD, "addresses"), (Action.DISABLE, "owners")]


def test_changes_read_like_a_difference_and_show_no_secret() -> None:
    row = Row("accounts", {"sid": "AC1"}, {"name": "new", "token_sha256": "abc"}, {"token": "hunter2"})
    base = {("accounts", "AC1"): {"name": "old", "token_sha256": "xyz"}, ("owners", "x"): {}}
    text = rendered(difference([row], base))
    assert text == ("~ accounts AC1\n    name: 'old' -> 'new'\n    token: (secret, changed)\n- owners x")
    assert "hunter2" not in repr(row)
    assert rendered([]) == "nothing changed since the last apply"
