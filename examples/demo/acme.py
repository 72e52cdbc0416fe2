"""The menu of a company called Acme: one module, `acme.menu`.

It knows nothing of the modules before and after it.  Pressing 1 leaves by the outlet `agent`; what
is wired to that outlet is the business of the application that the number runs.

    python acme.py --port 8101
"""

from __future__ import annotations

import argparse

from aiohttp import web

DOCUMENT = '<?xml version="1.0" encoding="UTF-8"?><Response>{}</Response>'

MENU = """
  <Gather numDigits="1" action="choice" timeout="6">
    <Say>Welcome to Acme. For an agent, press 1. To leave a message, press 2.</Say>
  </Gather>
  <Say>We did not hear a key. Goodbye.</Say>
"""
AGENT = "<Redirect>outlet:agent</Redirect>"
MESSAGE = """
  <Say>Please speak after the tone, and press pound when you are done.</Say>
  <Record action="thanks" maxLength="60" timeout="4" finishOnKey="#"/>
"""
THANKS = "<Say>Thank you. We will call you back. Goodbye.</Say><Hangup/>"
MISTAKE = "<Say>That is not one of the choices.</Say><Redirect>./</Redirect>"


def document(body: str) -> web.Response:
    return web.Response(text=DOCUMENT.format(body), content_type="text/xml")


async def menu(_request: web.Request) -> web.Response:
    return document(MENU)


async def choice(request: web.Request) -> web.Response:
    digits = (await request.post()).get("Digits")
    return document({"1": AGENT, "2": MESSAGE}.get(str(digits), MISTAKE))


async def thanks(_request: web.Request) -> web.Response:
    return document(THANKS)


def application() -> web.Application:
    app = web.Application()
    app.router.add_route("*", "/menu/", menu)
    app.router.add_post("/menu/choice", choice)
    app.router.add_post("/menu/thanks", thanks)
    return app


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="serve the module acme.menu")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8101)
    arguments = parser.parse_args()
    web.run_app(application(), host=arguments.host, port=arguments.port)
