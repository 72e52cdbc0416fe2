from __future__ import annotations

import base64
import stat
from pathlib import Path

import pytest

from callrouter.errors import StartupError
from callrouter.identity.secrets import KEY_FILE, KEY_VARIABLE, SecretBox, digest, load_key, matches

BOX = SecretBox(bytes(32))


def test_what_is_sealed_can_be_opened_and_reads_differently_each_time() -> None:
    one, two = (BOX.seal("tökén", belongs_to="account:AC1") for _ in range(2))
    assert one != two
    assert "tökén" not in one
    assert BOX.open(one, belongs_to="account:AC1") == BOX.open(two, belongs_to="account:AC1") == "tökén"


@pytest.mark.parametrize("stored", ["", "v1:", "v1:AAAA", "v1:!!!", "nonsense"])
def test_what_was_not_sealed_is_refused(stored: str) -> None:
    with pytest.raises(StartupError, match="cannot be decrypted"):
        BOX.open(stored, belongs_to="account:AC1")


def test_a_secret_cannot_be_moved_to_another_row_or_opened_with_another_key() -> None:
    stored = BOX.seal("token", belongs_to="account:AC1")
    with pytest.raises(StartupError, match="account:AC2"):
        BOX.open(stored, belongs_to="account:AC2")
    with pytest.raises(StartupError, match="another key"):
        SecretBox(bytes([1]) * 32).open(stored, belongs_to="account:AC1")


def test_tokens_are_compared_by_their_digest() -> None:
    assert matches("token", digest("token"))
    for wrong in ("", "Token", "token ", "tokeñ", "\ud800", "x" * 10_000):
        assert not matches(wrong, digest("token"))


def test_the_key_file_is_made_once_for_its_owner_only(tmp_path: Path) -> None:
    folder = tmp_path / "var"
    key = load_key(folder, {})
    assert len(key) == 32
    assert stat.S_IMODE((folder / KEY_FILE).stat().st_mode) == 0o600
    assert load_key(folder, {}) == key


@pytest.mark.parametrize("text", [bytes(range(32)).hex(), base64.b64encode(bytes(range(32))).decode() + "\n"])
def test_the_environment_outweighs_the_file(tmp_path: Path, text: str) -> None:
    assert load_key(tmp_path, {KEY_VARIABLE: text}) == bytes(range(32))
    assert not (tmp_path / KEY_FILE).exists()


@pytest.mark.parametrize("text", ["short", "z" * 64, base64.b64encode(bytes(31)).decode()])
def test_what_is_no_key_is_refused_with_what_was_expected(tmp_path: Path, text: str) -> None:
    with pytest.raises(StartupError, match=f"{KEY_VARIABLE} is no key; expected 64 hex digits"):
        load_key(tmp_path, {KEY_VARIABLE: text})
    (tmp_path / KEY_FILE).write_text(text)
    with pytest.raises(StartupError, match="expected 64 hex digits"):
        load_key(tmp_path, {})


def test_a_data_directory_that_cannot_be_written_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StartupError, match=KEY_VARIABLE):
        load_key(tmp_path / "file" / "var", {})
