"""Accounts, keys and addresses out of their tables."""

from __future__ import annotations

from sqlalchemy import select

from callrouter.identity.accounts import Account, AccountStatus, ApiKey, Funds
from callrouter.identity.addresses import Address
from callrouter.identity.secrets import SecretBox
from callrouter.identity.tables import accounts, addresses, api_keys
from callrouter.storage.database import Database


async def load_accounts(database: Database, box: SecretBox) -> list[Account]:
    """Every account.  Raises `StartupError` when the tokens were stored with another key."""
    return [
        Account(
            sid=row["sid"],
            code=row["code"],
            name=row["name"],
            status=AccountStatus(row["status"]),
            parent=row["parent"],
            currency=row["currency"],
            funds=Funds(row["funds"]),
            token=box.open(row["token_sealed"], belongs_to=token_of(row["sid"])),
            billing_number=row["billing_number"],
            plan=row["plan"],
            fallback=row["fallback"],
        )
        for row in await database.read(select(accounts))
    ]


async def load_api_keys(database: Database) -> list[ApiKey]:
    return [
        ApiKey(row["sid"], row["account_sid"], row["secret_sha256"], row["active"])
        for row in await database.read(select(api_keys))
    ]


async def load_addresses(database: Database) -> list[Address]:
    """All addresses of all accounts, inactive ones too."""
    return [
        Address(
            address=row["address"],
            account_sid=row["account_sid"],
            key_number=row["key_number"],
            target=row["target"],
            method=row["method"],
            fallback=row["fallback"],
            fallback_method=row["fallback_method"],
            status_callback=row["status_callback"],
            status_callback_method=row["status_callback_method"],
            active=row["active"],
        )
        for row in await database.read(select(addresses))
    ]


def token_of(sid: str) -> str:
    """What a sealed account token belongs to."""
    return f"account:{sid}"
