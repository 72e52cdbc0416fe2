"""docs/api.md: its tables name exactly the routes there are, its examples work."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass, field
from pathlib import Path
from string import Template
from urllib.parse import parse_qsl

import aiohttp
import pytest
from aiohttp import web

from callrouter.api.server import build
from metering.interval import CallFacts, Cause, Holder, Mode
from tests.integration.api_bench import OWNER, Bench, call_row, call_sid, login, serving

PAGE = (Path(__file__).parents[2] / "docs/api.md").read_text("utf-8")
ROW = re.compile(r"^\| `(/[^`]*)` \| ([A-Z, ]+) \|", re.MULTILINE)
EXAMPLES = [
    line
    for block in re.findall(r"^```\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    for line in block.replace("\\\n", " ").splitlines()
    if line.startswith("curl ")
]
CALL = call_sid(1)
AFTER_THE_EXAMPLES_MS = 1_790_000_000_000


@dataclass
class Request:
    """What a curl command would send."""

    url: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    form: list[tuple[str, str]] = field(default_factory=list)
    body: str = ""

    @classmethod
    def parse(cls, command: str, values: dict[str, str]) -> Request:
        words = iter(Template(word).substitute(values) for word in shlex.split(command)[1:])
        request = cls()
        for word in words:
            match word:
                case "-u":
                    request.headers |= login(*next(words).split(":"))
                case "-H":
                    name, _, value = next(words).partition(": ")
                    request.headers[name] = value
                case "--json":
                    request.body = next(words)
                case "-d":
                    request.form += parse_qsl(next(words), strict_parsing=True)
                case "--data-urlencode":
                    name, _, value = next(words).partition("=")
                    request.form.append((name, value))
                case _:
                    assert word.startswith("http"), f"not understood: {word}"
                    request.url = word
        return request


def documented() -> set[tuple[str, str]]:
    found = set()
    for path, methods in ROW.findall(PAGE):
        whole = path if path.startswith(("/v1", "/healthz", "/readyz", "/metrics")) else f"/2010-04-01{path}"
        found |= {(whole, method.strip()) for method in methods.split(",")}
    return found


async def test_the_page_names_every_route_and_no_other(tmp_path: Path) -> None:
    async with serving(tmp_path) as bench:
        routes: set[tuple[str, str]] = set()
        for route in build(bench.context()).router.routes():
            assert isinstance(route.resource, web.Resource)
            if route.method != "HEAD":
                routes.add((route.resource.canonical.replace("{format}", ""), route.method))
    assert documented() == routes


def test_the_page_has_examples_of_both_interfaces() -> None:
    assert len(EXAMPLES) >= 8


@pytest.mark.parametrize("command", EXAMPLES)
async def test_the_examples_of_the_page_work(tmp_path: Path, command: str) -> None:
    async with serving(tmp_path) as bench:
        await live_call(bench)
        values = {"BASE": bench.base, "ACCOUNT": OWNER, "TOKEN": "owner-token", "CALL": CALL}
        request = Request.parse(command, values)
        data = request.form or request.body or None
        method = "POST" if data else "GET"
        async with (
            aiohttp.ClientSession() as http,
            http.request(method, request.url, headers=request.headers, data=data) as answer,
        ):
            assert answer.status in {200, 201}, await answer.text()
        assert [order.to for order in bench.control.orders] in ([], ["+15550123"])


async def live_call(bench: Bench) -> None:
    bench.clock.now_ms = AFTER_THE_EXAMPLES_MS
    await bench.add_calls(call_row(CALL, status="in-progress"))
    bench.control.lives[CALL] = "in-progress"
    menu = Holder("acme.menu", "acme", Mode.APPLICATION)
    facts = CallFacts(CALL, CALL, OWNER, "+15550100")
    await bench.meter.begin(facts, menu, at_ns=bench.clock.monotonic_ns(), cause=Cause.ARRIVAL)
