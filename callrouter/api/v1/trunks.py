"""`GET /v1/trunks`: which gateways of the carriers answer, and where we are registered."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from callrouter.api.context import CALLER, Context
from callrouter.api.v1.problems import Problem
from callrouter.api.v1.times import rfc3339
from callrouter.ports.carriers import GatewayState, RegistrationState, TrunkState


class Trunks:
    def __init__(self, context: Context) -> None:
        self._context = context

    async def fetch(self, request: web.Request) -> web.Response:
        """Carriers serve everybody, so those who answer for everybody see them."""
        if request[CALLER].parent:
            raise Problem(403, "Only an account that stands under no other sees the carriers")
        return web.json_response({"trunks": [_trunk(trunk) for trunk in self._context.trunks()]})


def _trunk(trunk: TrunkState) -> dict[str, Any]:
    return {
        "name": trunk.name,
        "gateways": [_gateway(gateway) for gateway in trunk.gateways],
        "registration": None if trunk.registration is None else _registration(trunk.registration),
    }


def _gateway(gateway: GatewayState) -> dict[str, Any]:
    return {
        "host": gateway.host,
        "port": gateway.port or None,
        "transport": gateway.transport or None,
        "watched": gateway.is_watched,
        "up": gateway.is_up,
        "since": rfc3339(gateway.since_ms),
        "reason": gateway.reason or None,
    }


def _registration(registration: RegistrationState) -> dict[str, Any]:
    return {
        "state": registration.state,
        "since": rfc3339(registration.since_ms),
        "detail": registration.detail or None,
    }
