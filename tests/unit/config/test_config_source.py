from __future__ import annotations

import pytest

from callrouter.declared.source import Source, read_source
from callrouter.errors import ConfigurationError


def _read(text: str, **environment: str) -> Source:
    return read_source(text, file="config.yaml", environment=environment)


def _refused(text: str, **environment: str) -> ConfigurationError:
    with pytest.raises(ConfigurationError) as refused:
        _read(text, **environment)
    return refused.value


def test_scalars_stay_the_text_that_was_written() -> None:
    data = _read('a: +15550100\nb: 0.10\nc: no\nd: 2026-01-31\ne: 1e3\nf: "x"\ng: ~\nh:\ni: ""\n').data
    assert data == {
        "a": "+15550100",
        "b": "0.10",
        "c": "no",
        "d": "2026-01-31",
        "e": "1e3",
        "f": "x",
        "g": None,
        "h": None,
        "i": "",
    }


def test_keys_that_look_like_numbers_stay_text() -> None:
    assert _read("+15550100: {on: yes}\n").data == {"+15550100": {"on": "yes"}}


def test_the_line_of_everything_is_known() -> None:
    source = _read("a:\n  b: 1\n  c:\n    - x\n    - y: 2\n")
    assert [source.line_of(p) for p in (("a", "b"), ("a", "c", 0), ("a", "c", 1, "y"))] == [2, 4, 5]
    assert source.line_of(("a", "missing", "deep")) == 1


def test_an_empty_file_declares_nothing() -> None:
    assert _read("").data == {}
    assert _read("# only a remark\n").data == {}


def test_environment_variables_are_put_in() -> None:
    data = _read(
        "a: ${TOKEN}\nb: pre-${TOKEN}-post\nc: ${NONE:-else}\nd: $${TOKEN}\ne: ${NONE:-}\n", TOKEN="t"
    )
    assert data.data == {"a": "t", "b": "pre-t-post", "c": "else", "d": "${TOKEN}", "e": ""}


@pytest.mark.parametrize(
    ("text", "line", "hint"),
    [
        ("a: 1\nb: [\n", 3, "not YAML"),
        ("a: 1\n\tb: 2\n", 2, "not YAML"),
        ("a: 1\nb: 2\na: 3\n", 3, "a: given twice (first on line 1)"),
        ("x:\n  a: 1\n  a: 2\n", 3, "x.a: given twice (first on line 2)"),
        ("- a\n- b\n", 1, "no mapping"),
        ("just text", 1, "no mapping"),
        ("a: 1\ntoken: ${SECRET_TOKEN}\n", 2, "token: environment variable SECRET_TOKEN is not set"),
        ("? [a, b]\n: 1\n", 1, "a key is no text"),
        ("a: &x\n  - *x\n", 1, "nested deeper"),
        ("a: *nobody\n", 1, "not YAML"),
        ("a: 1\n---\nb: 2\n", 2, "not YAML"),
    ],
)
def test_what_is_wrong_as_yaml_is_refused_with_its_line(text: str, line: int, hint: str) -> None:
    error = _refused(text)
    assert (error.file, error.line) == ("config.yaml", line)
    assert str(error).startswith(f"config.yaml:{line}: ")
    assert hint in str(error)


def test_aliases_that_multiply_are_refused_before_they_do_so() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 20)]
    assert "aliases (`*name`) make this more than 200,000 values" in str(_refused("\n".join(lines)))


def test_aliases_are_welcome() -> None:
    assert _read("a: &x {b: 1}\nc: *x\nd: [*x, *x]\n").data["d"] == [{"b": "1"}, {"b": "1"}]


def test_several_problems_are_listed_in_the_order_of_the_file() -> None:
    error = _refused("a: ${ONE}\nb: ${TWO}\nb: 1\n")
    assert [line.partition(": ")[0] for line in str(error).splitlines()] == [
        "config.yaml:1",
        "config.yaml:2",
        "config.yaml:3",
    ]
