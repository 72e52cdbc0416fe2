"""Accounts: who calls belong to, and how a token proves to be one's."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from callrouter.identity.secrets import digest, matches


class AccountStatus(enum.Enum):
    """Status of the compatible API's Account resource."""

    ACTIVE = "active"
    SUSPENDED = "suspended"
    CLOSED = "closed"


class Funds(enum.Enum):
    PREPAID = "prepaid"
    """Nothing is granted without credit."""
    POSTPAID = "postpaid"


@dataclass(frozen=True, slots=True)
class Account:
    sid: str
    """AC and 32 hex digits."""
    code: str
    """Short name; the owner of the account's own documents, its module is `<code>.self`."""
    name: str
    status: AccountStatus = AccountStatus.ACTIVE
    parent: str = ""
    """AC… of the account above."""
    currency: str = "USD"
    funds: Funds = Funds.PREPAID
    token: str = field(default="", repr=False)
    """Signs requests to the account's own documents."""
    billing_number: str = ""
    """Key number of calls that have no other."""
    plan: str = ""
    """Usage plan of the account's own documents."""
    fallback: str = ""
    """Target that takes over where control is refused and no flow says who does."""

    @property
    def active(self) -> bool:
        return self.status is AccountStatus.ACTIVE


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A revocable stand-in for an account's token."""

    sid: str
    """SK and 32 hex digits."""
    account_sid: str
    secret_sha256: str
    active: bool = True


_NOBODY = digest("no account has this token, but comparing with it takes as long")


class Accounts:
    """An unchanging set of accounts."""

    def __init__(self, accounts: Iterable[Account], keys: Iterable[ApiKey] = ()) -> None:
        self._by_sid = {account.sid: account for account in accounts}
        self._digests = {account.sid: digest(account.token) for account in self if account.token}
        self._keys = {key.sid: key for key in keys}

    def __iter__(self) -> Iterator[Account]:
        return iter(self._by_sid.values())

    def get(self, sid: str) -> Account | None:
        return self._by_sid.get(sid)

    def authenticated(self, user: str, password: str) -> Account | None:
        """The account that `user` (AC… or SK…) and `password` prove to be, whatever its status.
        An unknown user takes as long as a wrong password."""
        key = self._keys.get(user)
        sid, expected = (key.account_sid, key.secret_sha256) if key else (user, self._digests.get(user, ""))
        proven = matches(password, expected or _NOBODY) and bool(expected)
        if not proven or (key is not None and not key.active):
            return None
        return self._by_sid.get(sid)

    def may_act_for(self, account: Account, sid: str) -> bool:
        """Whether `account` may address the resources of `sid`: its own, or those of an account
        below it."""
        seen: set[str] = set()
        while sid and sid not in seen:
            if sid == account.sid:
                return True
            seen.add(sid)
            below = self._by_sid.get(sid)
            sid = below.parent if below else ""
        return False
