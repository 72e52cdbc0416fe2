"""Pages of a list: the newest first, stable while new ones arrive.

A page token is a place in the order, `PA` for what comes after it and `PB` for what comes before:
milliseconds in hex, a dot, the sid.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlencode

from aiohttp import web
from sqlalchemy import Column, Select, and_, or_

from callrouter.api.compat.errors import BAD_PAGE_TOKEN, PAGE_SIZE, bad
from callrouter.api.compat.form import Form
from callrouter.storage.database import Database

_TOKEN: Final = re.compile(r"(PA|PB)([0-9a-f]{1,15})\.([A-Z]{2}[0-9a-fA-F]{32})", re.ASCII)
_DEFAULT_SIZE: Final = 50
_MAX_SIZE: Final = 1000
_MAX_PAGE: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Order:
    """Two columns that order the records: a time and a sid."""

    time: Column[Any]
    sid: Column[Any]


@dataclass(frozen=True, slots=True)
class PageRequest:
    number: int
    size: int
    token: tuple[str, int, str] | None

    @classmethod
    def parse(cls, form: Form) -> PageRequest:
        size = form.whole("PageSize", _DEFAULT_SIZE, 1, 10**9, PAGE_SIZE)
        if size > _MAX_SIZE:
            raise bad(PAGE_SIZE, f"PageSize may be {_MAX_SIZE} at most")
        number = form.whole("Page", 0, 0, _MAX_PAGE)
        text = form.text("PageToken")
        if not text:
            return cls(number, size, None)
        match = _TOKEN.fullmatch(text)
        if not match:
            raise bad(BAD_PAGE_TOKEN, "PageToken is not one that this server gave out")
        return cls(number, size, (match[1], int(match[2], 16), match[3]))


async def read_page(
    request: web.Request,
    database: Database,
    statement: Select[Any],
    order: Order,
    key: str,
    present: Callable[[Mapping[str, Any]], dict[str, Any]],
) -> dict[str, Any]:
    """The envelope of the page `request` asks for; `statement` selects all records unordered."""
    wanted = PageRequest.parse(Form(request.query.items()))
    backwards = wanted.token is not None and wanted.token[0] == "PB"
    rows = await database.read(_window(statement, order, wanted, backwards=backwards))
    more = len(rows) > wanted.size
    rows = rows[: wanted.size]
    if backwards:
        rows.reverse()
    has_next = bool(rows) and (more or backwards)
    has_previous = bool(rows) and wanted.number > 0 and (more or not backwards)

    def link(number: int, token: str = "") -> str:
        query = [pair for pair in request.query.items() if pair[0] not in {"Page", "PageSize", "PageToken"}]
        query += [("PageSize", str(wanted.size)), ("Page", str(number))]
        return f"{request.path}?{urlencode(query + ([('PageToken', token)] if token else []))}"

    def place(kind: str, row: Mapping[str, Any]) -> str:
        return f"{kind}{row[order.time.name]:x}.{row[order.sid.name]}"

    start = wanted.number * wanted.size
    return {
        key: [present(row) for row in rows],
        "page": wanted.number,
        "page_size": wanted.size,
        "start": start,
        "end": start + max(len(rows) - 1, 0),
        "uri": request.path_qs,
        "first_page_uri": link(0),
        "previous_page_uri": link(wanted.number - 1, place("PB", rows[0])) if has_previous else None,
        "next_page_uri": link(wanted.number + 1, place("PA", rows[-1])) if has_next else None,
    }


def _window(statement: Select[Any], order: Order, wanted: PageRequest, *, backwards: bool) -> Select[Any]:
    """The page's rows and one more, which tells whether there is more."""
    if wanted.token is None:
        statement = statement.offset(wanted.number * wanted.size)
    else:
        _, time, sid = wanted.token
        if backwards:
            beyond = or_(order.time > time, and_(order.time == time, order.sid > sid))
        else:
            beyond = or_(order.time < time, and_(order.time == time, order.sid < sid))
        statement = statement.where(beyond)
    columns = (order.time, order.sid)
    statement = statement.order_by(*(column.asc() if backwards else column.desc() for column in columns))
    return statement.limit(wanted.size + 1)
