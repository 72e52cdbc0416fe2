"""The survey of a company called Beta: one module, `beta.survey`, sold as a service.

Whoever passes a call to it pays by the second; the survey neither knows nor cares who that was.

    python beta.py --port 8102
"""

from __future__ import annotations

import argparse

from aiohttp import web

DOCUMENT = '<?xml version="1.0" encoding="UTF-8"?><Response>{}</Response>'

QUESTION = """
  <Gather numDigits="1" action="score" timeout="6">
    <Say>How was your call today? Press a key from 1, poor, to 5, excellent.</Say>
  </Gather>
  <Say>We did not hear a key. Goodbye.</Say>
"""
COMMENT = """
  <Say>Thank you. After the tone, tell us why, and press pound when you are done.</Say>
  <Record action="thanks" maxLength="20" timeout="3" finishOnKey="#"/>
"""
THANKS = "<Say>Thank you for your time. Goodbye.</Say><Hangup/>"
AGAIN = "<Say>Please choose a key from 1 to 5.</Say><Redirect>./</Redirect>"


def document(body: str) -> web.Response:
    return web.Response(text=DOCUMENT.format(body), content_type="text/xml")


async def question(_request: web.Request) -> web.Response:
    return document(QUESTION)


async def score(request: web.Request) -> web.Response:
    digits = str((await request.post()).get("Digits", ""))
    if digits not in {"1", "2", "3", "4", "5"}:
        return document(AGAIN)
    print(f"score {digits}", flush=True)
    return document(COMMENT)


async def thanks(request: web.Request) -> web.Response:
    form = await request.post()
    seconds, url = str(form.get("RecordingDuration")), str(form.get("RecordingUrl"))
    print(f"comment of {seconds} s: {url}", flush=True)
    return document(THANKS)


def application() -> web.Application:
    app = web.Application()
    app.router.add_route("*", "/survey/", question)
    app.router.add_post("/survey/score", score)
    app.router.add_post("/survey/thanks", thanks)
    return app


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="serve the module beta.survey")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8102)
    arguments = parser.parse_args()
    web.run_app(application(), host=arguments.host, port=arguments.port)
