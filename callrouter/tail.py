"""`callrouter tail CALL`: watch a call's SIP as a ladder, and what was fetched and warned of beside it.

Talks to the REST API of a running server with an account's credentials, so it sees what that
account may see.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import os
import sys
from collections.abc import AsyncIterator, Iterator
from typing import Any

import aiohttp

from callrouter.api.v1.ladder import Ladder
from callrouter.errors import CallrouterError
from callrouter.ports import TracedMessage

DESCRIPTION = """Show what was said in SIP on a call and the calls it dialled, as a ladder, with every
request made for its documents and every warning; then follow the call until it is over.

CALL is the sid of the first call of a session (CA...).  The account and its token are those of the
REST API; the environment variables CALLROUTER_ACCOUNT and CALLROUTER_TOKEN do as well."""

_EVERY_SECONDS = 0.5
_REQUEST_SECONDS = 10.0
_PAGE = 1000
_INDENT = " " * 13
"""Beside the ladder's times."""


class CannotTail(CallrouterError):
    """The server cannot be asked, or does not answer as it should."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.description = DESCRIPTION
    parser.add_argument("call", metavar="CALL", help="sid of the first call of the session")
    parser.add_argument(
        "--server", default="http://127.0.0.1:8080", metavar="URL", help="its REST API (default %(default)s)"
    )
    parser.add_argument(
        "--account", default=os.environ.get("CALLROUTER_ACCOUNT", ""), metavar="SID", help="account or key"
    )
    parser.add_argument(
        "--token", default=os.environ.get("CALLROUTER_TOKEN", ""), metavar="TOKEN", help="its token or secret"
    )
    parser.add_argument("--full", action="store_true", help="print the whole messages, too")
    parser.add_argument("--once", action="store_true", help="print what there is and do not wait for more")


def run(arguments: argparse.Namespace) -> int:
    """Carry out a parsed command line; the process's exit status."""
    if not arguments.account or not arguments.token:
        raise CannotTail(
            "whose call is it? give --account and --token, or set CALLROUTER_ACCOUNT and CALLROUTER_TOKEN"
        )
    asyncio.run(_tail(arguments))
    return 0


async def _tail(arguments: argparse.Namespace) -> None:
    encoded = base64.b64encode(f"{arguments.account}:{arguments.token}".encode()).decode()
    headers = {"Authorization": f"Basic {encoded}"}
    timeout = aiohttp.ClientTimeout(total=_REQUEST_SECONDS)
    async with aiohttp.ClientSession(headers=headers, timeout=timeout) as http:
        tail = Tail(http, arguments.server.rstrip("/"), arguments.call)
        while True:
            async for line in tail.news(full=arguments.full):
                sys.stdout.write(f"{line}\n")
            sys.stdout.flush()
            if tail.is_over or arguments.once:
                return
            await asyncio.sleep(_EVERY_SECONDS)


class Tail:
    """Asks for what is new, again and again."""

    def __init__(self, http: aiohttp.ClientSession, server: str, call: str) -> None:
        self._http = http
        self._server = server
        self._call = call
        self._ladder = Ladder()
        self._after = 0
        self._dropped = 0
        self._requests: dict[str, int] = {}
        self._notices: set[str] = set()
        self.is_over = False
        """There is nothing more to come."""

    async def news(self, *, full: bool = False) -> AsyncIterator[str]:
        """Lines that were not there before.  Raises `CannotTail`."""
        # The state first: then nothing can come between the last news and the end.
        session = await self._get(f"/v1/sessions/{self._call}")
        trace = await self._get(f"/v1/sessions/{self._call}/sip?after={self._after}")
        for line in self._sip(trace, full=full):
            yield line
        for call in session["calls"]:
            path = f"/2010-04-01/Accounts/{call['account_sid']}/Calls/{call['sid']}"
            events = await self._get(f"{path}/Events.json?PageSize={_PAGE}")
            for line in self._fetched(call["sid"], events["events"]):
                yield line
            notices = await self._get(f"{path}/Notifications.json?PageSize={_PAGE}")
            for line in self._noticed(notices["notifications"]):
                yield line
        self.is_over = session["status"] == "ended"

    def _sip(self, trace: dict[str, Any], *, full: bool) -> Iterator[str]:
        for one in trace["messages"]:
            self._after = max(self._after, one["number"])
            message = _message(one)
            yield from self._ladder.lines(message)
            if full:
                yield from (f"{_INDENT}{line}" for line in message.text.rstrip().splitlines())
                yield ""
        if trace["dropped"] > self._dropped:
            self._dropped = trace["dropped"]
            yield f"{_INDENT}({self._dropped} messages were not kept: see sip.trace_call_bytes)"

    def _fetched(self, call: str, events: list[dict[str, Any]]) -> Iterator[str]:
        """Requests have no names, but an order: the newest first."""
        new = len(events) - self._requests.get(call, 0)
        self._requests[call] = len(events)
        for event in reversed(events[:new]):
            request, response = event["request"], event["response"]
            status = response["response_code"] or "no answer"
            took = f"{response['request_duration']} ms"
            yield f"{_INDENT}* {request['method']} {request['url']}: {status}, {took}"

    def _noticed(self, notices: list[dict[str, Any]]) -> Iterator[str]:
        for notice in reversed(notices):
            if notice["sid"] not in self._notices:
                self._notices.add(notice["sid"])
                level = "error" if notice["log"] == "0" else "warning"
                code = f" {notice['error_code']}" if notice["error_code"] else ""
                yield f"{_INDENT}! {level}{code}: {notice['message_text']}"

    async def _get(self, path: str) -> dict[str, Any]:
        try:
            async with self._http.get(f"{self._server}{path}") as answer:
                said = await answer.json(content_type=None)
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            reason = str(error) or "no answer in time"
            raise CannotTail(f"{self._server} cannot be asked ({reason}); is --server right?") from error
        if answer.status == 401:
            raise CannotTail(f"{self._server} does not know this account with this token")
        if answer.status != 200 or not isinstance(said, dict):
            detail = said.get("detail") or said.get("message") if isinstance(said, dict) else None
            raise CannotTail(detail or f"{self._server} answered {answer.status} to {path}")
        return said


def _message(one: dict[str, Any]) -> TracedMessage:
    host, _, port = one["peer"].rpartition(":")
    return TracedMessage(
        number=one["number"],
        at_ns=one["at_ns"],
        call_id=one["call_id"],
        is_sent=one["direction"] == "sent",
        transport=one["transport"],
        host=host.strip("[]"),
        port=int(port),
        text=one["text"],
    )
