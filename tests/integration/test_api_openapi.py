"""The description of the native API: valid, complete, and true of the answers that are given."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator

from callrouter.api.server import build
from callrouter.api.v1.openapi import description
from callrouter.ports import TracedMessage
from metering.interval import CallFacts, Cause, Holder, Mode
from metering.plan_book import PlanBook
from metering.plan_config import parse_plan
from tests.integration.api_bench import OWNER, Bench, call_row, call_sid, login, serving

ROOT = call_sid(1)
LOGIN = login(OWNER, "owner-token")


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    plan = parse_plan("per-minute", {"prices": {"application": {"price": "0.60"}}})
    async with serving(tmp_path, PlanBook([plan], {"acme.menu": "per-minute"})) as bench:
        yield bench


def schema(name: str) -> Draft202012Validator:
    document = description()
    return Draft202012Validator(
        {"$ref": f"#/components/schemas/{name}", "components": document["components"]}
    )


async def get(bench: Bench, path: str, **headers: str) -> tuple[int, Any]:
    async with aiohttp.ClientSession(bench.base) as http, http.get(path, headers=headers) as answer:
        return answer.status, await answer.json(content_type=None)


async def test_the_document_is_valid_and_served_to_everybody(bench: Bench) -> None:
    status, document = await get(bench, "/v1/openapi.json")
    assert (status, document) == (200, description())
    assert not list(OpenAPIV31SpecValidator(document).iter_errors())


async def test_every_native_route_is_described_and_every_described_path_exists(bench: Bench) -> None:
    routes: set[tuple[str, str]] = set()
    for route in build(bench.context()).router.routes():
        assert isinstance(route.resource, web.Resource)
        if route.method != "HEAD" and not route.resource.canonical.startswith("/2010-04-01/"):
            routes.add((route.resource.canonical, route.method.lower()))
    described = {
        (path, method) for path, operations in description()["paths"].items() for method in operations
    }
    assert described == routes


async def test_every_path_parameter_is_described() -> None:
    for path, operations in description()["paths"].items():
        for operation in operations.values():
            named = {one["name"] for one in operation.get("parameters", ()) if one["in"] == "path"}
            assert named == set(re.findall(r"{(\w+)}", path))


async def test_answers_are_as_described(bench: Bench) -> None:
    """The schemas allow no member that they do not name."""
    menu = Holder("acme.menu", "acme", Mode.APPLICATION, "MI1", "AP1", "", OWNER)
    now_ns = bench.clock.monotonic_ns()
    await bench.add_calls(call_row(ROOT, direction="inbound", status="in-progress", sip_call_id="x"))
    bench.traces["x"] = (
        TracedMessage(1, now_ns, "x", True, "udp", "192.0.2.1", 5060, "BYE sip:a SIP/2.0\r\n"),
    )
    await bench.meter.begin(
        CallFacts(ROOT, ROOT, OWNER, "+15550100"), menu, at_ns=now_ns, cause=Cause.ARRIVAL
    )
    bench.clock.now_ms += 5000
    for end in (False, True):
        if end:
            await bench.meter.end(ROOT, at_ns=bench.clock.monotonic_ns(), cause=Cause.HANGUP)
        _, session = await get(bench, f"/v1/sessions/{ROOT}", **LOGIN)
        schema("Session").validate(session)
        _, trace = await get(bench, f"/v1/sessions/{ROOT}/sip", **LOGIN)
        assert trace["messages"]
        schema("SipTrace").validate(trace)
        _, usage = await get(bench, "/v1/usage", **LOGIN)
        assert usage["usage"]
        schema("Usage").validate(usage)
    for path in (f"/v1/sessions/{call_sid(2)}", "/v1/usage?from=x"):
        status, problem = await get(bench, path, **LOGIN)
        assert status == problem["status"]
        schema("Problem").validate(problem)
    schema("Health").validate((await get(bench, "/healthz"))[1])
    for reasons, troubles in (([], []), ([], ["slow"]), (["draining"], [])):
        bench.reasons, bench.troubles = reasons, troubles
        schema("Health").validate((await get(bench, "/readyz"))[1])
