"""For machines that watch the server: is it alive, may it get calls, what does it count."""

from __future__ import annotations

from aiohttp import web

from callrouter.api.context import Context

PATHS = ("/healthz", "/readyz", "/metrics")


class Health:
    def __init__(self, context: Context) -> None:
        self._context = context

    def routes(self) -> list[web.RouteDef]:
        handlers = (self.alive, self.ready, self.metrics)
        return [web.get(path, handler, name=path[1:]) for path, handler in zip(PATHS, handlers, strict=True)]

    async def alive(self, _: web.Request) -> web.Response:
        """200 as long as the event loop answers."""
        return web.json_response({"status": "ok"})

    async def ready(self, _: web.Request) -> web.Response:
        """200 when calls may come, otherwise 503; with the reasons for that, or for why calls may
        come but something else does not work."""
        reasons = list(self._context.not_ready())
        degraded = list(self._context.degraded())
        if reasons:
            return web.json_response({"status": "not ready", "reasons": reasons + degraded}, status=503)
        if degraded:
            return web.json_response({"status": "degraded", "reasons": degraded})
        return web.json_response({"status": "ready"})

    async def metrics(self, _: web.Request) -> web.Response:
        """Prometheus text format."""
        return web.Response(
            body=self._context.metrics(),
            headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"},
        )
