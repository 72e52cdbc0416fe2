"""The Accounts resource: fetch and list."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from callrouter.api.compat import render
from callrouter.api.compat.call_resource import ROOT
from callrouter.api.compat.errors import not_found
from callrouter.api.compat.form import Form
from callrouter.api.compat.paging import PageRequest
from callrouter.api.context import CALLER, WITH_TOKEN, Context
from callrouter.identity.accounts import Account


class AccountsResource:
    def __init__(self, context: Context) -> None:
        self._context = context

    async def fetch(self, request: web.Request) -> web.Response:
        account = self._context.accounts.get(request.match_info["account"])
        if account is None:
            raise not_found(request.path)
        return render.resource(request, "Account", _fields(account, show_token=request[WITH_TOKEN]))

    async def list(self, request: web.Request) -> web.Response:
        """The caller's own account and those below it."""
        form = Form(request.query.items())
        wanted = PageRequest.parse(form)
        visible = [
            account
            for account in self._context.accounts
            if self._context.accounts.may_act_for(request[CALLER], account.sid)
            and form.text("Status", account.status.value) == account.status.value
            and form.text("FriendlyName", account.name) == account.name
        ]
        visible.sort(key=lambda account: account.sid)
        start = wanted.number * wanted.size
        shown = visible[start : start + wanted.size]

        def link(number: int) -> str:
            return f"{request.path}?PageSize={wanted.size}&Page={number}"

        envelope = {
            "accounts": [_fields(account, show_token=request[WITH_TOKEN]) for account in shown],
            "page": wanted.number,
            "page_size": wanted.size,
            "start": start,
            "end": start + max(len(shown) - 1, 0),
            "uri": request.path_qs,
            "first_page_uri": link(0),
            "previous_page_uri": link(wanted.number - 1) if wanted.number else None,
            "next_page_uri": link(wanted.number + 1) if start + wanted.size < len(visible) else None,
        }
        return render.page(request, "accounts", "Account", envelope)


def _fields(account: Account, *, show_token: bool) -> dict[str, Any]:
    """A key may use the account, but not learn its token."""
    uri = f"{ROOT}/{account.sid}"
    return {
        "sid": account.sid,
        "owner_account_sid": account.parent or account.sid,
        "friendly_name": account.name,
        "status": account.status.value,
        "type": "Full",
        "auth_token": account.token if show_token else None,
        "date_created": None,
        "date_updated": None,
        "uri": f"{uri}.json",
        "subresource_uris": {
            name.lower(): f"{uri}/{name}.json" for name in ("Calls", "Notifications", "Recordings")
        },
    }
