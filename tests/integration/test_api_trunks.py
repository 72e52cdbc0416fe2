"""How the carriers are doing, by REST: for those who answer for everybody."""

from __future__ import annotations

from pathlib import Path

import aiohttp

from callrouter.ports.carriers import GatewayState, RegistrationState, TrunkState
from tests.integration.api_bench import CHILD, NOW_MS, OWNER, login, serving
from tests.integration.test_api_openapi import schema

CARRIERS = (
    TrunkState(
        "main",
        (
            GatewayState("198.51.100.1", 5060, "udp", True, False, NOW_MS, "no answer"),
            GatewayState("sip.carrier.example", 0, "", True, True, NOW_MS, ""),
        ),
        RegistrationState("registered", NOW_MS, "for 300 s"),
    ),
    TrunkState("inbound", (), None),
)
NOW = "2023-11-14T22:13:20.000Z"


async def test_gateways_and_registrations_are_shown_to_accounts_under_no_other(tmp_path: Path) -> None:
    async with serving(tmp_path) as bench, aiohttp.ClientSession(bench.base) as http:
        bench.trunks = CARRIERS
        async with http.get("/v1/trunks", headers=login(OWNER, "owner-token")) as answer:
            shown = await answer.json()
        async with http.get("/v1/trunks", headers=login(CHILD, "child-token")) as answer:
            assert answer.status == 403
            assert "carriers" in (await answer.json(content_type=None))["detail"]
    schema("Trunks").validate(shown)
    main, inbound = shown["trunks"]
    assert main["gateways"] == [
        {
            "host": "198.51.100.1",
            "port": 5060,
            "transport": "udp",
            "watched": True,
            "up": False,
            "since": NOW,
            "reason": "no answer",
        },
        {
            "host": "sip.carrier.example",
            "port": None,
            "transport": None,
            "watched": True,
            "up": True,
            "since": NOW,
            "reason": None,
        },
    ]
    assert main["registration"] == {"state": "registered", "since": NOW, "detail": "for 300 s"}
    assert inbound == {"name": "inbound", "gateways": [], "registration": None}
