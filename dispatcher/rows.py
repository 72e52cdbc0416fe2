"""The dispatcher's snapshot, out of the tables of three rooms."""

from __future__ import annotations

import json

from sqlalchemy import select

from callrouter.identity.rows import load_accounts, load_addresses, load_api_keys
from callrouter.identity.secrets import SecretBox
from callrouter.storage.database import Database
from dispatcher.flows import Application, Instance
from dispatcher.policy.facts import Ban, Party
from dispatcher.settings import Settings
from dispatcher.snapshot import Snapshot
from dispatcher.tables import application_instances, applications, event_mappings, flow_edges, policy_lists
from modules.rows import load_modules, load_subscriptions


async def load_snapshot(database: Database, box: SecretBox, settings: Settings) -> Snapshot:
    """Everything a dispatch looks up.  Raises `StartupError` when secrets cannot be decrypted."""
    return Snapshot(
        accounts=await load_accounts(database, box),
        api_keys=await load_api_keys(database),
        addresses=await load_addresses(database),
        modules=await load_modules(database, box),
        subscriptions=await load_subscriptions(database),
        applications=await load_applications(database),
        bans=await load_bans(database),
        settings=settings,
    )


async def load_applications(database: Database) -> list[Application]:
    """All container applications, inactive ones too, with their active instances, edges and mappings."""
    instances: dict[str, dict[str, Instance]] = {}
    for row in await database.read(select(application_instances).where(application_instances.c.active)):
        parameters = tuple((name, value) for name, value in json.loads(row["parameters"]))
        instance = Instance(row["name"], row["module"], parameters, row["inlet"])
        instances.setdefault(row["application_sid"], {})[instance.name] = instance
    edges: dict[str, dict[tuple[str, str], str]] = {}
    for row in await database.read(select(flow_edges).where(flow_edges.c.active)):
        edges.setdefault(row["application_sid"], {})[row["instance"], row["outlet"]] = row["next"]
    events: dict[str, dict[tuple[str, str], str]] = {}
    for row in await database.read(select(event_mappings).where(event_mappings.c.active)):
        events.setdefault(row["application_sid"], {})[row["instance"], row["event"]] = row["next"]
    return [
        Application(
            sid=row["sid"],
            name=row["name"],
            account_sid=row["account_sid"],
            start=row["start"],
            instances=instances.get(row["sid"], {}),
            edges=edges.get(row["sid"], {}),
            events=events.get(row["sid"], {}),
            active=row["active"],
        )
        for row in await database.read(select(applications))
    ]


async def load_bans(database: Database) -> list[Ban]:
    return [
        Ban(Party(row["party"]), row["pattern"], row["account_sid"], row["reason"])
        for row in await database.read(select(policy_lists).where(policy_lists.c.active))
    ]
