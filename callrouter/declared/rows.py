"""The declared state as rows of tables, in the order in which they may be written."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from callrouter.declared.naming import (
    application_sid,
    billing_number,
    key_number,
    module_code,
    resolved_target,
)
from callrouter.declared.state import (
    ApplicationDeclaration,
    ModuleDeclaration,
    State,
    SubscriptionDeclaration,
)
from callrouter.identity.secrets import digest
from dispatcher.numbers import normalised
from metering.plans import MICRO
from modules.library.bridge import DECLARATION as BRIDGE_MODULE
from modules.module import Parameter, module_sid
from modules.rows import parameters_to
from modules.subscriptions import Scope

Columns = Mapping[str, Any]

PLANS = "plans"
CREDITS = "credits"
"""Not tables: metering keeps plans as versions and credits as transactions of its ledger."""


@dataclass(frozen=True, slots=True)
class Row:
    """One row that configuration asks for."""

    table: str
    key: Mapping[str, str]
    """Primary key, by column."""
    columns: Columns
    """The others; a secret is there as its SHA-256, `<name>_sha256`."""
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Clear text by `<name>`, to be sealed into `<name>_sealed`."""

    @property
    def identity(self) -> tuple[str, str]:
        """Table and key, as the base of the comparison stores them."""
        return self.table, " ".join(self.key.values())


def rows(state: State, currency: str) -> list[Row]:
    """Every row of a valid state; `currency` is that of accounts that name none."""
    return [
        *(Row(PLANS, {"code": code}, plan.content()) for code, plan in state.plans.items()),
        *_owners(state),
        *_accounts(state, currency),
        *_modules(state),
        *_applications(state),
        *_addresses(state),
        *_subscriptions(state),
        *_policy(state),
        *_credits(state, currency),
    ]


def subscription_id(declared: SubscriptionDeclaration) -> str:
    """Names a subscription: one of a module for a subject and a start."""
    scope, subject = _named_subject(declared)
    start = f" {declared.starts.isoformat()}" if declared.starts else ""
    return f"{declared.module} {scope.value} {subject}{start}"


def _owners(state: State) -> Iterator[Row]:
    owners = {BRIDGE_MODULE.owner: "Platform"} | {key: owner.name for key, owner in state.owners.items()}
    for key, name in owners.items():
        yield Row("owners", {"code": key}, {"name": name, "active": True})


def _accounts(state: State, currency: str) -> Iterator[Row]:
    for key, account in state.accounts.items():
        token = account.token.get_secret_value()
        yield Row(
            "accounts",
            {"sid": account.sid},
            {
                "code": key,
                "name": account.name or key,
                "parent": state.accounts[account.parent].sid if account.parent else "",
                "status": account.status.value,
                "currency": account.currency or currency,
                "funds": account.funds.value,
                "token_sha256": digest(token),
                "billing_number": billing_number(state, key),
                "plan": account.plan,
                "fallback": resolved_target(account.fallback, state),
            },
            {"token": token},
        )


def _modules(state: State) -> Iterator[Row]:
    bridge = BRIDGE_MODULE
    yield Row(
        "modules",
        {"code": bridge.code},
        {
            "sid": bridge.sid,
            "owner": bridge.owner,
            "layer": bridge.layer.value,
            "inlet": bridge.inlet,
            "secret_sha256": digest(""),
            "parameters": parameters_to(bridge.parameters),
            "outlets": "[]",
            "plan": state.bridge_plan,
            "private_hosts": "[]",
            "version": bridge.version,
            "is_open": bridge.is_open,
            "active": True,
        },
        {"secret": ""},
    )
    for code, declared in state.modules.items():
        yield _module(code, declared)


def _module(code: str, declared: ModuleDeclaration) -> Row:
    secret = declared.secret.get_secret_value()
    parameters = [
        Parameter(name, p.type, p.default, p.required, p.choices, p.description)
        for name, p in declared.parameters.items()
    ]
    return Row(
        "modules",
        {"code": code},
        {
            "sid": module_sid(code),
            "owner": code.partition(".")[0],
            "layer": declared.layer.value,
            "inlet": declared.inlet,
            "secret_sha256": digest(secret),
            "parameters": parameters_to(parameters),
            "outlets": json.dumps(declared.outlets),
            "plan": declared.plan,
            "private_hosts": json.dumps(declared.private_hosts),
            "version": declared.version,
            "is_open": declared.open,
            "active": True,
        },
        {"secret": secret},
    )


def _applications(state: State) -> Iterator[Row]:
    for key, application in state.applications.items():
        sid = application_sid(state, key)
        yield Row(
            "applications",
            {"sid": sid},
            {
                "account_sid": state.accounts[application.account].sid,
                "name": key,
                "start": application.start,
                "active": True,
            },
        )
        yield from _parts(sid, application, state)


def _parts(sid: str, application: ApplicationDeclaration, state: State) -> Iterator[Row]:
    for name, instance in application.instances.items():
        yield Row(
            "application_instances",
            {"application_sid": sid, "name": name},
            {
                "module": module_code(instance.module, application.account),
                "inlet": instance.url,
                "parameters": json.dumps(list(instance.parameters.items())),
                "active": True,
            },
        )
    for wire, follower in application.flow.items():
        name, _, outlet = wire.partition(".")
        yield Row(
            "flow_edges",
            {"application_sid": sid, "instance": name, "outlet": outlet},
            {"next": follower, "active": True},
        )
    for wire, follower in application.events.items():
        name, _, event = wire.partition(".")
        yield Row(
            "event_mappings",
            {"application_sid": sid, "instance": name, "event": event},
            {"next": resolved_target(follower, state), "active": True},
        )


def _addresses(state: State) -> Iterator[Row]:
    for address, declared in state.addresses.items():
        yield Row(
            "addresses",
            {"address": address},
            {
                "account_sid": state.accounts[declared.account].sid,
                "key_number": key_number(state, address),
                "target": resolved_target(declared.target, state),
                "method": declared.method,
                "fallback": resolved_target(declared.fallback, state),
                "fallback_method": declared.fallback_method,
                "status_callback": declared.status_callback,
                "status_callback_method": declared.status_callback_method,
                "active": declared.active,
            },
        )


def _subscriptions(state: State) -> Iterator[Row]:
    for declared in state.subscriptions:
        scope, subject = _named_subject(declared)
        if scope is Scope.APPLICATION:
            subject = application_sid(state, subject)
        elif scope is Scope.ACCOUNT:
            subject = state.accounts[subject].sid
        yield Row(
            "subscriptions",
            {"id": subscription_id(declared)},
            {
                "module": declared.module,
                "scope": scope.value,
                "subject": subject,
                "plan": declared.plan,
                "starts_ms": _ms(declared.starts),
                "ends_ms": _ms(declared.ends),
                "state": declared.state.value,
                "active": True,
            },
        )


def _policy(state: State) -> Iterator[Row]:
    for ban in state.policy.banned:
        yield Row(
            "policy_lists",
            {
                "account_sid": state.accounts[ban.account].sid if ban.account else "",
                "party": ban.party.value,
                "pattern": ban.pattern,
            },
            {"reason": ban.reason, "active": True},
        )


def _credits(state: State, currency: str) -> Iterator[Row]:
    for credit in state.credits:
        account = state.accounts[credit.account]
        yield Row(
            CREDITS,
            {"account": account.sid, "key": credit.key},
            {"amount_micro": int(credit.amount * MICRO), "currency": account.currency or currency},
        )


def _named_subject(declared: SubscriptionDeclaration) -> tuple[Scope, str]:
    if declared.number:
        return Scope.NUMBER, normalised(declared.number)
    if declared.application:
        return Scope.APPLICATION, declared.application
    return Scope.ACCOUNT, declared.account


def _ms(instant: datetime | None) -> int | None:
    return None if instant is None else int(instant.timestamp() * 1000)
