"""The double-entry ledger: transactions of entries that sum to zero, posted once by key.

Signs are the account's own: what the platform owes (a prepaid balance, an owner's earnings) is
positive, so a credit raises `prepaid:` and a charge lowers it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from callrouter.storage.database import Write
from callrouter.storage.statements import insert_once
from metering.charges import Charge
from metering.tables import ledger_accounts, ledger_entries

OPEN_ACCOUNT = insert_once(ledger_accounts)
POST_ENTRY = insert_once(ledger_entries)
PLATFORM = "platform"
_WHOLE = 10_000


@dataclass(frozen=True, slots=True)
class LedgerAccount:
    """`prepaid:AC…`, `receivable:AC…`, `owner_payable:acme`, `platform_revenue`, `cash`."""

    kind: str
    holder: str = ""

    @property
    def code(self) -> str:
        return f"{self.kind}:{self.holder}" if self.holder else self.kind


CASH = LedgerAccount("cash")
PLATFORM_REVENUE = LedgerAccount("platform_revenue")


@dataclass(frozen=True, slots=True)
class Entry:
    account: LedgerAccount
    amount_micro: int


@dataclass(frozen=True, slots=True)
class Transaction:
    """Entries that sum to zero, in one currency."""

    key: str
    """Posted at most once."""
    currency: str
    at_ms: int
    entries: tuple[Entry, ...]

    def __post_init__(self) -> None:
        if sum(entry.amount_micro for entry in self.entries) != 0:
            raise ValueError(f"the entries of {self.key} do not sum to zero")


def credit_transaction(
    account_sid: str, amount_micro: int, currency: str, *, key: str, at_ms: int
) -> Transaction:
    """Money paid in."""
    entries = (Entry(LedgerAccount("prepaid", account_sid), amount_micro), Entry(CASH, -amount_micro))
    return Transaction(f"credit:{key}", currency, at_ms, entries)


def charge_transaction(
    charge: Charge, payer: LedgerAccount, *, currency: str, at_ms: int, platform_basis_points: int
) -> Transaction | None:
    """What a charge moves: from who pays to the module's owner, less the platform's share (which
    gets the rest of the rounding).  None for a charge of nothing."""
    amount = charge.rated.amount_micro
    if not amount:
        return None
    owner = charge.scope.holder.owner
    earned = 0 if owner == PLATFORM else amount * (_WHOLE - platform_basis_points) // _WHOLE
    shares = (
        Entry(LedgerAccount("owner_payable", owner), earned),
        Entry(PLATFORM_REVENUE, amount - earned),
    )
    entries = (Entry(payer, -amount), *(share for share in shares if share.amount_micro))
    return Transaction(f"charge:{charge.scope.key}", currency, at_ms, entries)


def writes(transactions: Iterable[Transaction]) -> list[Write]:
    """Statements that post them; those posted before stay as they are."""
    accounts: dict[tuple[str, str], dict[str, str]] = {}
    entries: list[dict[str, str | int]] = []
    for transaction in transactions:
        for line, entry in enumerate(transaction.entries):
            account = {
                "code": entry.account.code,
                "currency": transaction.currency,
                "kind": entry.account.kind,
                "holder": entry.account.holder,
            }
            accounts[account["code"], transaction.currency] = account
            entries.append(
                {
                    "transaction": transaction.key,
                    "line": line,
                    "account": account["code"],
                    "currency": transaction.currency,
                    "amount_micro": entry.amount_micro,
                    "at_ms": transaction.at_ms,
                }
            )
    if not entries:
        return []
    opened: Sequence[dict[str, str]] = list(accounts.values())
    return [(OPEN_ACCOUNT, opened), (POST_ENTRY, entries)]
