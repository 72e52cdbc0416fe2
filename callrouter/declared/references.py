"""Whether what the declared state names exists, and whether its parts fit each other."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator

from callrouter.declared.naming import (
    canonical_address,
    is_number,
    key_number,
    module_code,
    named_application,
    resolved_target,
)
from callrouter.declared.rows import subscription_id
from callrouter.declared.source import Path
from callrouter.declared.state import (
    ApplicationDeclaration,
    InstanceDeclaration,
    ModuleDeclaration,
    State,
    SubscriptionDeclaration,
)
from callrouter.errors import ConfigurationError
from dispatcher.flows import DENIED, EVENTS
from dispatcher.targets import BadTarget, ModuleTarget, parse_target
from metering.plan_config import parse_plan
from modules.library.bridge import DECLARATION as BRIDGE_MODULE
from modules.module import BRIDGE, Module, Parameter

Found = tuple[Path, str]
"""Where, and what is wrong; what was expected."""

PLATFORM = "platform"
_E164 = re.compile(r"\+[1-9][0-9]{1,14}")
_WHERE = re.compile(r"\[([0-9]+)\]|([^.\[\]]+)")


def wrong_references(state: State) -> Iterator[Found]:
    """Everything that does not fit, in no particular order."""
    for check in (
        _accounts,
        _plans,
        _modules,
        _applications,
        _addresses,
        _subscriptions,
        _policy,
        _credits,
    ):
        yield from check(state)


def as_module(code: str, declared: ModuleDeclaration) -> Module:
    """A declared module as the dispatcher will know it."""
    return Module(
        code=code,
        owner=code.partition(".")[0],
        layer=declared.layer,
        inlet=declared.inlet,
        parameters=tuple(
            Parameter(name, p.type, p.default, p.required, p.choices, p.description)
            for name, p in declared.parameters.items()
        ),
        outlets=declared.outlets,
    )


def _accounts(state: State) -> Iterator[Found]:
    sids: dict[str, str] = {}
    for key, account in state.accounts.items():
        path = ("accounts", key)
        if key in state.owners or key == PLATFORM:
            yield path, f"{key!r} is an owner as well; an account owns its own documents: rename one of them"
        if account.sid in sids:
            yield (*path, "sid"), f"accounts.{sids[account.sid]} has this sid; expected one of its own"
        sids.setdefault(account.sid, key)
        yield from _known((*path, "parent"), account.parent or "", state.accounts, "account")
        if _is_below_itself(state, key):
            yield (*path, "parent"), "the account is below itself; expected no circle"
        yield from _known((*path, "plan"), account.plan, state.plans, "plan")
        if account.billing_number:
            yield from _number((*path, "billing_number"), account.billing_number)
        if account.fallback:
            yield from _target((*path, "fallback"), account.fallback, state, key)


def _is_below_itself(state: State, key: str) -> bool:
    above, seen = state.accounts[key].parent, {key}
    while above in state.accounts and above is not None:
        if above in seen:
            return above == key
        seen.add(above)
        above = state.accounts[above].parent
    return False


def _plans(state: State) -> Iterator[Found]:
    yield from _known(("bridge_plan",), state.bridge_plan, state.plans, "plan")
    for code, plan in state.plans.items():
        try:
            parse_plan(code, plan.content())
        except ConfigurationError as error:
            where, _, what = str(error).partition(": ")
            yield tuple(int(m[1]) if m[1] else m[2] for m in _WHERE.finditer(where)), what


def _modules(state: State) -> Iterator[Found]:
    for code, declared in state.modules.items():
        path = ("modules", code)
        owner, _, name = code.partition(".")
        if code == BRIDGE:
            yield path, f"{BRIDGE} is built in; set its plan with `bridge_plan`"
        if name == "self":
            yield path, "`self` is every account's own module; expected another name"
        if owner != PLATFORM:
            yield from _known(path, owner, state.owners, "owner")
        yield from _known((*path, "plan"), declared.plan, state.plans, "plan")
        for parameter in as_module(code, declared).parameters:
            wrong = parameter.wrong_with(parameter.default) if parameter.default is not None else ""
            if wrong:
                yield (*path, "parameters", parameter.name, "default"), f"{parameter.default!r}; {wrong}"


def _applications(state: State) -> Iterator[Found]:
    for key, application in state.applications.items():
        path = ("applications", key)
        yield from _known((*path, "account"), application.account, state.accounts, "account")
        yield from _known((*path, "start"), application.start, application.instances, "instance")
        for name, instance in application.instances.items():
            yield from _instance((*path, "instances", name), instance, application, state)
        yield from _flow(path, application, state)
        yield from _events(path, application, state)


def _instance(
    path: Path, instance: InstanceDeclaration, application: ApplicationDeclaration, state: State
) -> Iterator[Found]:
    if instance.module in ("self", f"{application.account}.self"):
        if not instance.url.startswith(("http://", "https://")):
            yield (*path, "url"), "an instance of self needs a URL; expected url: https://…"
        return
    if instance.url:
        yield (*path, "url"), f"{instance.module} has an inlet of its own; only `self` takes a URL"
    module = _module(instance.module, state)
    if module is None:
        known = [*state.modules, BRIDGE, "self"]
        yield (*path, "module"), f"no module {instance.module!r}; expected one of {', '.join(known)}"
        return
    for parameter in module.parameters:
        value = instance.parameters.get(parameter.name)
        wrong = parameter.wrong_with(value) if value is not None else ""
        if wrong:
            yield (*path, "parameters", parameter.name), f"{value!r}; {wrong}"
    declared = [parameter.name for parameter in module.parameters]
    for name in instance.parameters:
        if declared and name not in declared:
            yield (
                (*path, "parameters", name),
                f"{module.code} declares no such parameter; expected one of {', '.join(declared)}",
            )


def _flow(path: Path, application: ApplicationDeclaration, state: State) -> Iterator[Found]:
    for wire, follower in application.flow.items():
        here = (*path, "flow", wire)
        instance, _, outlet = wire.partition(".")
        yield from _known(here, instance, application.instances, "instance")
        yield from _known(here, follower, application.instances, "instance")
        declared = application.instances.get(instance)
        module = _module(declared.module, state) if declared else None
        if module is not None and outlet not in (*module.outlets, DENIED):
            expected = ", ".join((*module.outlets, DENIED))
            yield here, f"{module.code} has no outlet {outlet!r}; expected one of {expected}"


def _events(path: Path, application: ApplicationDeclaration, state: State) -> Iterator[Found]:
    for wire, follower in application.events.items():
        here = (*path, "events", wire)
        instance, _, event = wire.partition(".")
        yield from _known(here, instance, application.instances, "instance")
        if event not in EVENTS:
            yield here, f"there is no event {event!r}; expected one of {', '.join(EVENTS)}"
        if follower not in application.instances:
            if ":" in follower:
                yield from _target(here, follower, state, application.account)
            else:
                yield from _known(here, follower, application.instances, "instance")


def _addresses(state: State) -> Iterator[Found]:
    for address, declared in state.addresses.items():
        path = ("addresses", address)
        canonical = canonical_address(address)
        if is_number(address) and not _E164.fullmatch(canonical):
            yield path, f"{address!r} is no address; expected +15550100, sip:user@host or client:name"
        elif canonical != address:
            yield path, f"expected it written as {canonical}"
        yield from _known((*path, "account"), declared.account, state.accounts, "account")
        yield from _target((*path, "target"), declared.target, state, declared.account)
        if declared.fallback:
            yield from _target((*path, "fallback"), declared.fallback, state, declared.account)
        if declared.status_callback and not declared.status_callback.startswith(("http://", "https://")):
            yield (*path, "status_callback"), f"{declared.status_callback!r}; expected an http or https URL"
        if declared.key_number:
            yield from _number((*path, "key_number"), declared.key_number)
        elif declared.account in state.accounts and not key_number(state, address):
            yield path, "there is no number to meter its calls to; expected key_number"


def _subscriptions(state: State) -> Iterator[Found]:
    seen: set[str] = set()
    for index, declared in enumerate(state.subscriptions):
        path: Path = ("subscriptions", index)
        if _module(declared.module, state) is None:
            yield (
                (*path, "module"),
                f"no module {declared.module!r}; expected one of {', '.join(state.modules)}",
            )
        yield from _known((*path, "plan"), declared.plan, state.plans, "plan")
        yield from _subject(path, declared, state)
        for name, instant in (("starts", declared.starts), ("ends", declared.ends)):
            if instant is not None and instant.tzinfo is None:
                yield (*path, name), "the time has no zone; expected one such as 2026-01-31T12:00:00Z"
        identity = subscription_id(declared)
        if identity in seen:
            yield path, "declared twice; expected one subscription of a module for a subject and start"
        seen.add(identity)


def _subject(path: Path, declared: SubscriptionDeclaration, state: State) -> Iterator[Found]:
    given = [name for name in ("number", "application", "account") if getattr(declared, name)]
    if len(given) != 1:
        found = " and ".join(given) or "none"
        yield path, f"given for {found}; expected one of number, application, account"
    if declared.number:
        yield from _number((*path, "number"), declared.number)
    yield from _known((*path, "application"), declared.application, state.applications, "application")
    yield from _known((*path, "account"), declared.account, state.accounts, "account")


def _policy(state: State) -> Iterator[Found]:
    for index, ban in enumerate(state.policy.banned):
        yield from _known(("policy", "banned", index, "account"), ban.account, state.accounts, "account")


def _credits(state: State) -> Iterator[Found]:
    seen: set[tuple[str, str]] = set()
    for index, credit in enumerate(state.credits):
        yield from _known(("credits", index, "account"), credit.account, state.accounts, "account")
        if (credit.account, credit.key) in seen:
            yield ("credits", index, "key"), f"{credit.key!r} is given twice; expected a key of its own"
        seen.add((credit.account, credit.key))


def _module(name: str, state: State) -> Module | None:
    """A declared or built-in module; None for `self` and for what does not exist."""
    if name == BRIDGE:
        return BRIDGE_MODULE
    declared = state.modules.get(name)
    return as_module(name, declared) if declared else None


def _known(path: Path, name: str, known: Collection[str], kind: str) -> Iterator[Found]:
    if name and name not in known:
        yield (
            path,
            f"no {kind} {name!r} is declared; expected one of {', '.join(known) or '(there are none)'}",
        )


def _number(path: Path, number: str) -> Iterator[Found]:
    if not _E164.fullmatch(canonical_address(number)):
        yield path, f"{number!r} is no telephone number; expected E.164 such as +15550100"


def _target(path: Path, target: str, state: State, account: str) -> Iterator[Found]:
    key = named_application(target, state)
    if key is not None and state.applications[key].account != account:
        yield (
            path,
            f"application {key} belongs to account {state.applications[key].account}, not to {account}",
        )
        return
    if key is not None and state.applications[key].account not in state.accounts:
        return
    try:
        parsed = parse_target(resolved_target(target, state))
    except BadTarget as error:
        known = ", ".join(f"app:{name}" for name in state.applications)
        yield path, f"{error}{f'; declared are {known}' if target.startswith('app:') and known else ''}"
        return
    if isinstance(parsed, ModuleTarget) and _module(module_code(parsed.code, account), state) is None:
        yield path, f"no module {parsed.code!r}; expected one of {', '.join([*state.modules, BRIDGE])}"
