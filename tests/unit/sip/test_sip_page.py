"""The examples of docs/sip.md are configurations that load."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from callrouter.config import parse_config

PAGE = Path(__file__).parents[3] / "docs" / "sip.md"
EXAMPLES = re.findall(r"```yaml\n(.*?)```", PAGE.read_text(), re.DOTALL)


def test_there_are_examples() -> None:
    assert len(EXAMPLES) == 7


@pytest.mark.parametrize("example", EXAMPLES)
def test_an_example_loads(example: str) -> None:
    sip = parse_config(example, file="example", environment={}).sip
    assert sip.trunks or sip.registrar.users


def test_the_first_examples_carrier_writes_numbers_as_the_page_says() -> None:
    numbers = parse_config(EXAMPLES[0], file="example", environment={}).sip.trunks[0].numbers.format()
    assert numbers.outgoing("+442071838750") == "02071838750"
    assert numbers.outgoing("+12125550100") == "0012125550100"
