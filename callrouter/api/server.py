"""The REST listener: both APIs, metrics and health on one port."""

from __future__ import annotations

import errno

import structlog
from aiohttp import web

from callrouter.api import counting, failures, freshness, idempotency
from callrouter.api.auth import Gate
from callrouter.api.compat import routes as compat
from callrouter.api.context import Context
from callrouter.api.health import Health
from callrouter.api.v1 import routes as v1
from callrouter.errors import StartupError

log = structlog.get_logger(__name__)

_SHUTDOWN_SECONDS = 2.0
_HEADER_BYTES = 8190


def build(context: Context) -> web.Application:
    """The application, ready to be mounted or served."""
    open_routes = {v1.DOCUMENT}
    if context.settings.open_recordings:
        open_routes.add(compat.RECORDING_AUDIO)
    gate = Gate(context, open_routes)
    app = web.Application(
        middlewares=[
            counting.middleware(context.figures),
            failures.middleware(gate, context.settings.body_seconds),
            idempotency.middleware(context),
            freshness.middleware(context.database),
        ],
        client_max_size=context.settings.body_bytes,
    )
    app.add_routes([*compat.routes(context), *v1.routes(context), *Health(context).routes()])
    return app


class ApiServer:
    """Listens from `start` to `stop`."""

    def __init__(self, context: Context) -> None:
        settings = context.settings
        self._settings = settings
        self._runner = web.AppRunner(
            build(context),
            access_log=None,
            handle_signals=False,
            shutdown_timeout=_SHUTDOWN_SECONDS,
            # Also bounds how long a request's head may take: the timer runs until a head is complete.
            keepalive_timeout=settings.head_seconds,
            max_line_size=_HEADER_BYTES,
            max_field_size=_HEADER_BYTES,
        )

    async def start(self) -> tuple[str, int]:
        """Bind and serve; the address bound.  Raises `StartupError` naming a busy port."""
        host, port = self._settings.host, self._settings.port
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, host, port).start()
        except OSError as error:
            await self._runner.cleanup()
            busy = error.errno == errno.EADDRINUSE
            hint = f"another process listens there (see: ss -ltnp 'sport = :{port}')" if busy else str(error)
            raise StartupError(
                f"the REST API cannot listen on {host}:{port}: {hint}; stop it or change api.host, api.port"
            ) from error
        bound = self._runner.addresses[0]
        log.info("api_listening", host=bound[0], port=bound[1])
        return str(bound[0]), int(bound[1])

    async def stop(self) -> None:
        await self._runner.cleanup()
