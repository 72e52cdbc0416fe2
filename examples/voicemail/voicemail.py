"""An answering machine: try the owner, else record a message.

python voicemail.py --owner sip:100@127.0.0.1:5090 --port 8104
"""

from __future__ import annotations

import argparse
from xml.sax.saxutils import escape, quoteattr

from aiohttp import web

DOCUMENT = '<?xml version="1.0" encoding="UTF-8"?><Response>{}</Response>'
OWNER = web.AppKey("owner", str)
MESSAGES = web.AppKey("messages", list[str])

GREETING = """
  <Say>Nobody is here to take your call. Please leave a message after the tone.</Say>
  <Record action="saved" maxLength="120" timeout="5" finishOnKey="#"
          recordingStatusCallback="recorded"/>
"""


def document(body: str) -> web.Response:
    return web.Response(text=DOCUMENT.format(body), content_type="text/xml")


async def incoming(request: web.Request) -> web.Response:
    owner = request.app[OWNER]
    return document(f'<Dial timeout="15" action={quoteattr("dialled")}><Sip>{escape(owner)}</Sip></Dial>')


async def dialled(request: web.Request) -> web.Response:
    """A conversation that took place needs no message."""
    form = await request.post()
    return document("<Hangup/>" if form.get("DialCallStatus") == "completed" else GREETING)


async def saved(request: web.Request) -> web.Response:
    form = await request.post()
    if form.get("Digits") == "hangup":
        return document("")
    return document("<Say>Your message is saved. Goodbye.</Say><Hangup/>")


async def recorded(request: web.Request) -> web.Response:
    form = await request.post()
    call, url = str(form.get("CallSid")), str(form.get("RecordingUrl"))
    request.app[MESSAGES].append(url)
    print(f"message from {call}: {url}", flush=True)
    return web.Response(status=204)


def application(owner: str) -> web.Application:
    app = web.Application()
    app[OWNER] = owner
    app[MESSAGES] = []
    app.router.add_route("*", "/voicemail/", incoming)
    app.router.add_post("/voicemail/dialled", dialled)
    app.router.add_post("/voicemail/saved", saved)
    app.router.add_post("/voicemail/recorded", recorded)
    return app


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="serve an answering machine")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8104)
    parser.add_argument("--owner", default="sip:100@127.0.0.1:5090", help="SIP address tried first")
    arguments = parser.parse_args()
    web.run_app(application(arguments.owner), host=arguments.host, port=arguments.port)
