"""Modules and subscriptions out of their tables."""

from __future__ import annotations

import json
from collections.abc import Iterable

from sqlalchemy import select

from callrouter.identity.secrets import SecretBox
from callrouter.storage.database import Database
from modules.module import Layer, Module, Parameter, ParameterType
from modules.subscriptions import Scope, Subscription, SubscriptionState
from modules.tables import modules, subscriptions


async def load_modules(database: Database, box: SecretBox) -> list[Module]:
    """Every module, those that are not active too: a refusal should say so, not that there is none."""
    return [
        Module(
            code=row["code"],
            owner=row["owner"],
            layer=Layer(row["layer"]),
            inlet=row["inlet"],
            sid=row["sid"],
            secret=box.open(row["secret_sealed"], belongs_to=secret_of(row["code"])),
            parameters=parameters_from(row["parameters"]),
            outlets=tuple(json.loads(row["outlets"])),
            plan=row["plan"],
            private_hosts=tuple(json.loads(row["private_hosts"])),
            version=row["version"],
            active=row["active"],
            is_open=row["is_open"],
        )
        for row in await database.read(select(modules))
    ]


async def load_subscriptions(database: Database) -> list[Subscription]:
    """Those that have not been withdrawn."""
    return [
        Subscription(
            module=row["module"],
            scope=Scope(row["scope"]),
            subject=row["subject"],
            plan=row["plan"],
            starts_ms=row["starts_ms"],
            ends_ms=row["ends_ms"],
            state=SubscriptionState(row["state"]),
        )
        for row in await database.read(select(subscriptions).where(subscriptions.c.active))
    ]


def secret_of(code: str) -> str:
    """What a sealed module secret belongs to."""
    return f"module:{code}"


def parameters_to(parameters: Iterable[Parameter]) -> str:
    """Parameter declarations as stored."""
    return json.dumps(
        [
            {
                "name": p.name,
                "type": p.type.value,
                "default": p.default,
                "required": p.required,
                "choices": p.choices,
                "description": p.description,
            }
            for p in parameters
        ]
    )


def parameters_from(stored: str) -> tuple[Parameter, ...]:
    """The inverse of what is stored: a JSON list with an object a parameter."""
    return tuple(
        Parameter(
            name=entry["name"],
            type=ParameterType(entry["type"]),
            default=entry["default"],
            required=entry["required"],
            choices=tuple(entry["choices"]),
            description=entry["description"],
        )
        for entry in json.loads(stored)
    )
