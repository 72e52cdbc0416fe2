"""`Idempotency-Key` (draft-ietf-httpapi-idempotency-key-header-07): a POST that is sent again is not done
again.

The key is in the database before the request is carried out, so at most one request with it ever is: not
two that race, and none after a crash, when only the key can be left of the first.  Its answer is kept for
`KEPT_MS`, sealed, because answers may hold tokens.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Awaitable, Callable
from typing import Final

import structlog
from aiohttp import hdrs, web
from aiohttp.typedefs import Handler, Middleware
from sqlalchemy import bindparam, delete, select, update
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from callrouter.api.compat import errors as codes
from callrouter.api.compat.errors import RestError
from callrouter.api.context import CALLER, Context
from callrouter.api.v1.problems import Problem
from callrouter.errors import CallError
from callrouter.storage.tables import idempotency_keys as keys

log = structlog.get_logger(__name__)

HEADER: Final = "Idempotency-Key"
REPLAYED: Final = "Idempotent-Replayed"
"""Header of an answer that was given before."""
KEPT_MS: Final = 86_400_000
_SWEEP_MS: Final = 3_600_000
_KEY: Final = re.compile(r"[!-~]{1,255}", re.ASCII)
_MINE: Final = (keys.c.account_sid == bindparam("account"), keys.c.key == bindparam("name"))
_STALE: Final = keys.c.created_ms < bindparam("oldest")
_INSERT: Final = keys.insert()
_SELECT: Final = select(keys).where(*_MINE)
_FINISH: Final = update(keys).where(*_MINE).values(status=bindparam("given"), response=bindparam("sealed"))
_RELEASE: Final = delete(keys).where(*_MINE)
_EXPIRE: Final = delete(keys).where(*_MINE, _STALE)
_SWEEP: Final = delete(keys).where(_STALE)

Name = tuple[str, str]
"""Account and key."""


def middleware(context: Context) -> Middleware:
    """Stands behind authentication: keys are the caller's own."""
    answers = Answers(context)

    @web.middleware
    async def once(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.method != hdrs.METH_POST or HEADER not in request.headers or CALLER not in request:
            return await handler(request)
        key = request.headers[HEADER]
        if not _KEY.fullmatch(key):
            raise RestError(400, codes.BAD_PARAMETER, f"{HEADER} has to be 1 to 255 visible ASCII characters")
        name = (request[CALLER].sid, key)
        return await answers.once(name, await _fingerprint(request), lambda: handler(request))

    return once


class Answers:
    """What was answered to which key."""

    def __init__(self, context: Context) -> None:
        self._database = context.database
        self._clock = context.clock
        self._box = context.box
        self._running: dict[Name, str] = {}
        self._swept_ms = 0

    async def once(
        self, name: Name, fingerprint: str, work: Callable[[], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        """The answer of `work`, which is done unless it was before.  Raises `RestError`: 409 while the
        first request is being answered or where nobody knows what became of it, 422 for another request
        with the same key."""
        if name in self._running:
            _check_same(name, self._running[name], fingerprint)
            raise RestError(
                409, codes.CONFLICT, f"The first request with {HEADER} {name[1]!r} is still being answered"
            )
        self._running[name] = fingerprint
        try:
            if await self._claim(name, fingerprint):
                return await self._first(name, work)
            return await self._earlier(name, fingerprint)
        finally:
            del self._running[name]

    async def _first(
        self, name: Name, work: Callable[[], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        try:
            answer = await work()
        except (RestError, Problem, web.HTTPException, CallError):
            # Refused, so that nothing was done: the client may put it right and use the key again.
            self._database.post((_RELEASE, _named(name)))
            raise
        await self._keep(name, answer)
        return answer

    async def _claim(self, name: Name, fingerprint: str) -> bool:
        """Whether the key is this request's, durably."""
        now_ms = self._clock.utc_ms()
        if now_ms - self._swept_ms > _SWEEP_MS:
            self._swept_ms = now_ms
            self._database.post((_SWEEP, {"oldest": now_ms - KEPT_MS}))
        row = {
            "account_sid": name[0],
            "key": name[1],
            "request_hash": fingerprint,
            "status": None,
            "response": None,
            "created_ms": now_ms,
        }
        try:
            await self._database.write(
                (_EXPIRE, {**_named(name), "oldest": now_ms - KEPT_MS}), (_INSERT, row)
            )
        except IntegrityError:
            return False
        return True

    async def _earlier(self, name: Name, fingerprint: str) -> web.StreamResponse:
        for row in await self._database.read(_SELECT, _named(name)):
            _check_same(name, row["request_hash"], fingerprint)
            if row["status"] is not None:
                return _restored(row["status"], self._box.open(row["response"], belongs_to=_owner(name)))
        raise RestError(
            409,
            codes.CONFLICT,
            f"The first request with {HEADER} {name[1]!r} was not answered, and may have been carried out: "
            "see whether it was before you send it with another key",
        )

    async def _keep(self, name: Name, answer: web.StreamResponse) -> None:
        sealed = self._box.seal(_written(answer), belongs_to=_owner(name))
        try:
            await self._database.write((_FINISH, {**_named(name), "given": answer.status, "sealed": sealed}))
        except SQLAlchemyError as error:
            # What was asked for is done; whoever asks again is told that nobody knows.
            log.error("api_answer_not_kept", account=name[0], key=name[1], error=str(error))


def _check_same(name: Name, first: str, fingerprint: str) -> None:
    if first != fingerprint:
        raise RestError(
            422,
            codes.BAD_PARAMETER,
            f"{HEADER} {name[1]!r} was used for another request; a new request needs a key of its own",
        )


async def _fingerprint(request: web.Request) -> str:
    """SHA-256 of what makes a request the same: method, path, query and body."""
    head = f"{request.method} {request.raw_path}\n".encode()
    return hashlib.sha256(head + await request.read()).hexdigest()


def _named(name: Name) -> dict[str, str]:
    return {"account": name[0], "name": name[1]}


def _owner(name: Name) -> str:
    return f"answer:{name[0]}:{name[1]}"


def _written(answer: web.StreamResponse) -> str:
    body = answer.body if isinstance(answer, web.Response) else None
    headers = [[field, value] for field, value in answer.headers.items() if field != hdrs.CONTENT_LENGTH]
    return json.dumps({"headers": headers, "body": body.decode() if isinstance(body, bytes) else ""})


def _restored(status: int, text: str) -> web.Response:
    kept = json.loads(text)
    answer = web.Response(status=status, body=kept["body"].encode())
    answer.headers.update(kept["headers"])
    answer.headers[REPLAYED] = "true"
    return answer
