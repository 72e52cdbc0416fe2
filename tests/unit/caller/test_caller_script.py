"""The entries of `--press`."""

import pytest

from callrouter.caller.script import LetPass, Press, Speak, parse


def test_keys_turns_let_pass_and_speech_are_told_apart() -> None:
    assert parse("1, w,12#,v") == (Press("1"), LetPass(), Press("12#"), Speak())


def test_no_entries_is_an_empty_script() -> None:
    assert parse("") == parse("  ") == ()


def test_letters_of_the_keypad_are_accepted_in_lower_case() -> None:
    assert parse("a*") == (Press("A*"),)


@pytest.mark.parametrize("text", ["1,,2", "x", "1 2", "hello"])
def test_an_entry_that_is_none_of_them_is_named(text: str) -> None:
    with pytest.raises(ValueError, match="is neither keys"):
        parse(text)
