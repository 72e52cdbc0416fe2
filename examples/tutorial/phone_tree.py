"""A phone tree as the field's tutorials write it: the official helper library builds the documents
and checks the signature of every request.  Nothing in it is particular to callrouter.

    AUTH_TOKEN=… python phone_tree.py --port 8103
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Awaitable, Callable

from aiohttp import web
from twilio.request_validator import RequestValidator
from twilio.twiml.voice_response import Gather, VoiceResponse

VALIDATOR = web.AppKey("validator", RequestValidator)
PLANETS = {"2": "Brodo Asogi", "3": "Dagobah", "4": "Oober"}


@web.middleware
async def validated(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Refuse whatever the telephone platform did not sign."""
    form = await request.post() if request.method == "POST" else {}
    signature = request.headers.get("X-Twilio-Signature", "")
    if not request.app[VALIDATOR].validate(str(request.url), form, signature):
        return web.Response(status=403, text="the signature does not match")
    return await handler(request)


def twiml(response: VoiceResponse) -> web.Response:
    return web.Response(text=str(response), content_type="text/xml")


async def welcome(_request: web.Request) -> web.Response:
    response = VoiceResponse()
    with response.gather(num_digits=1, action="menu", method="POST") as gather:
        gather.say(
            message="Thanks for calling the planet office. Press 1 for directions. "
            "Press 2 for a list of planets to call.",
            loop=3,
        )
    return twiml(response)


async def menu(request: web.Request) -> web.Response:
    digits = str((await request.post()).get("Digits", ""))
    choices = {"1": directions, "2": list_planets}
    response = VoiceResponse()
    if digits in choices:
        choices[digits](response)
    else:
        back_to_welcome(response)
    return twiml(response)


def directions(response: VoiceResponse) -> None:
    response.say("To get to the office, take the second road on the left.", voice="alice", language="en-GB")
    response.say("Thank you for calling the planet office.")
    response.hangup()


def list_planets(response: VoiceResponse) -> None:
    gather = Gather(num_digits=1, action="planets", method="POST")
    gather.say("To call Brodo Asogi, press 2. To call Dagobah, press 3. To go back, press star.")
    response.append(gather)


async def planets(request: web.Request) -> web.Response:
    digits = str((await request.post()).get("Digits", ""))
    response = VoiceResponse()
    if digits in PLANETS:
        response.say(f"{PLANETS[digits]} does not answer today.")
        response.hangup()
    else:
        back_to_welcome(response)
    return twiml(response)


def back_to_welcome(response: VoiceResponse) -> None:
    response.say("Returning to the main menu")
    response.redirect("welcome")


def application(auth_token: str) -> web.Application:
    app = web.Application(middlewares=[validated])
    app[VALIDATOR] = RequestValidator(auth_token)
    app.router.add_route("*", "/ivr/welcome", welcome)
    app.router.add_post("/ivr/menu", menu)
    app.router.add_post("/ivr/planets", planets)
    return app


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="serve the tutorial's phone tree")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8103)
    arguments = parser.parse_args()
    web.run_app(application(os.environ["AUTH_TOKEN"]), host=arguments.host, port=arguments.port)
