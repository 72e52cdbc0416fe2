"""Call screening: the callee hears who calls, and takes the call by pressing 1.

The document at `/screening/whisper` runs on the callee's leg after it answers and before the two
are joined.  Ending it joins them; hanging up in it leaves the caller to the Dial's action.

    python screening.py --callee sip:100@127.0.0.1:5090 --port 8105
"""

from __future__ import annotations

import argparse
from xml.sax.saxutils import escape

from aiohttp import web

DOCUMENT = '<?xml version="1.0" encoding="UTF-8"?><Response>{}</Response>'
CALLEE = web.AppKey("callee", str)

WHISPER = """
  <Gather numDigits="1" action="accept" timeout="8">
    <Say>You have a call from {caller}. Press 1 to take it.</Say>
  </Gather>
  <Hangup/>
"""


def document(body: str) -> web.Response:
    return web.Response(text=DOCUMENT.format(body), content_type="text/xml")


def spelled(caller: str) -> str:
    """Digits apart, so that a number is read digit by digit."""
    return " ".join(caller.lstrip("+")) if caller.lstrip("+").isdigit() else "somebody unknown"


async def incoming(request: web.Request) -> web.Response:
    callee = escape(request.app[CALLEE])
    return document(
        f'<Dial answerOnBridge="true" timeout="20" action="over"><Sip url="whisper">{callee}</Sip></Dial>'
    )


async def whisper(request: web.Request) -> web.Response:
    form = await request.post()
    return document(WHISPER.format(caller=spelled(str(form.get("From", "")))))


async def accept(request: web.Request) -> web.Response:
    form = await request.post()
    return document("" if form.get("Digits") == "1" else "<Hangup/>")


async def over(request: web.Request) -> web.Response:
    form = await request.post()
    if form.get("DialBridged") == "true":
        return document("<Hangup/>")
    return document("<Say>They cannot take your call now. Goodbye.</Say><Hangup/>")


def application(callee: str) -> web.Application:
    app = web.Application()
    app[CALLEE] = callee
    app.router.add_route("*", "/screening/", incoming)
    app.router.add_post("/screening/whisper", whisper)
    app.router.add_post("/screening/accept", accept)
    app.router.add_post("/screening/over", over)
    return app


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="serve a call screening application")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8105)
    parser.add_argument("--callee", default="sip:100@127.0.0.1:5090")
    arguments = parser.parse_args()
    web.run_app(application(arguments.callee), host=arguments.host, port=arguments.port)
