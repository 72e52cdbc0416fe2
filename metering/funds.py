"""What an account has left: posted in the ledger, less what its live calls cost by now.

Balances are kept in memory, so that the policy chain asks without waiting; the ledger is the truth
and is read once at start.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from sqlalchemy import func, select

from callrouter.ports import Clock
from callrouter.storage.database import Database
from metering import ledger
from metering.ledger import LedgerAccount, Transaction
from metering.tables import ledger_accounts, ledger_entries

_CUSTOMER = ("prepaid", "receivable")
_FRESH_MS = 1000

_BALANCES = (
    select(
        ledger_accounts.c.kind,
        ledger_accounts.c.holder,
        ledger_accounts.c.currency,
        func.coalesce(func.sum(ledger_entries.c.amount_micro), 0).label("amount_micro"),
    )
    .select_from(
        ledger_accounts.outerjoin(
            ledger_entries,
            (ledger_entries.c.account == ledger_accounts.c.code)
            & (ledger_entries.c.currency == ledger_accounts.c.currency),
        )
    )
    .where(ledger_accounts.c.kind.in_(_CUSTOMER))
    .group_by(ledger_accounts.c.kind, ledger_accounts.c.holder, ledger_accounts.c.currency)
)


class Funds:
    """Balances of customers' accounts, in micro-units; one currency per account."""

    def __init__(self, database: Database, clock: Clock, live_cost: Callable[[str], int]) -> None:
        """`live_cost` tells what an account's calls cost that are not in the ledger yet."""
        self._database = database
        self._clock = clock
        self._live_cost = live_cost
        self._prepaid: dict[str, str] = {}
        self._posted: dict[str, int] = {}
        self._estimates: dict[str, tuple[int, int]] = {}

    async def load(self) -> None:
        """Read the ledger; once, before anything is posted."""
        for row in await self._database.read(_BALANCES):
            if row["kind"] == "prepaid":
                self._prepaid[row["holder"]] = row["currency"]
            self._add(row["holder"], int(row["amount_micro"]))

    async def credit(self, account_sid: str, amount_micro: int, currency: str, *, key: str) -> bool:
        """Post money paid in; an account that has any pays in advance.  False if `key` was posted
        before, which changes nothing.  Raises ValueError for another currency than the account's."""
        known = self._prepaid.get(account_sid, currency)
        if known != currency:
            raise ValueError(f"account {account_sid} is kept in {known}, not in {currency}")
        transaction = ledger.credit_transaction(
            account_sid, amount_micro, currency, key=key, at_ms=self._clock.utc_ms()
        )
        (open_account, accounts), (post, entries) = ledger.writes([transaction])
        assert isinstance(entries, list)  # noqa: S101 - as `ledger.writes` builds it
        counts = await self._database.write((open_account, accounts), *((post, entry) for entry in entries))
        self._prepaid[account_sid] = currency
        if counts[1] != 1:
            return False
        self._add(account_sid, amount_micro)
        return True

    def payer(self, account_sid: str, currency: str) -> LedgerAccount:
        """The ledger account that pays an account's charges: its money if it pays in advance and
        in this currency, else what it owes."""
        prepaid = self._prepaid.get(account_sid) == currency
        return LedgerAccount("prepaid" if prepaid else "receivable", account_sid)

    def posted(self, transactions: Iterable[Transaction]) -> None:
        """Take note of transactions that reached the ledger."""
        for transaction in transactions:
            for entry in transaction.entries:
                if entry.account.kind in _CUSTOMER:
                    self._add(entry.account.holder, entry.amount_micro)
                    self._is_posted_now(entry.account.holder, entry.amount_micro)

    def balance_micro(self, account_sid: str) -> int:
        """Posted balance less the cost of live calls; negative: the account owes."""
        return self._posted.get(account_sid, 0) - self._live_cost(account_sid)

    def available_micro(self, account_sid: str) -> int:
        """Like `balance_micro` with the live cost at most a second old: cheap enough for every
        transfer of control."""
        now_ms = self._clock.monotonic_ns() // 1_000_000
        at_ms, live = self._estimates.get(account_sid, (now_ms - _FRESH_MS, 0))
        if now_ms - at_ms >= _FRESH_MS:
            live = self._live_cost(account_sid)
            self._estimates[account_sid] = (now_ms, live)
        return self._posted.get(account_sid, 0) - live

    def _add(self, account_sid: str, amount_micro: int) -> None:
        self._posted[account_sid] = self._posted.get(account_sid, 0) + amount_micro

    def _is_posted_now(self, account_sid: str, amount_micro: int) -> None:
        """A charge left the live cost for the ledger: move it, or it would count twice until the
        next estimate."""
        if estimate := self._estimates.get(account_sid):
            at_ms, live = estimate
            self._estimates[account_sid] = (at_ms, max(0, live + amount_micro))
