"""Names of the configuration file turned into the ids and numbers that everything else uses."""

from __future__ import annotations

import hashlib
import re

from callrouter.declared.state import AccountDeclaration, State
from dispatcher.numbers import normalised

_APPLICATION = re.compile(r"app:([a-z0-9][a-z0-9_-]{0,63})((?:[/?].*)?)")
_USER_SCHEMES = ("sip:", "client:")


def application_sid(state: State, key: str) -> str:
    """The AP… of a declared application: as given, else a fixed function of account and key."""
    declared = state.applications[key]
    if declared.sid:
        return declared.sid
    account = state.accounts[declared.account]
    return "AP" + hashlib.sha256(f"application:{account.sid}:{key}".encode()).hexdigest()[:32]


def named_application(target: str, state: State) -> str | None:
    """The key that an `app:key` target names, None for every other target."""
    match = _APPLICATION.fullmatch(target)
    return match[1] if match and match[1] in state.applications else None


def resolved_target(target: str, state: State) -> str:
    """`app:key` as `app:AP…`; every other target as it is."""
    key = named_application(target, state)
    if key is None:
        return target
    return f"app:{application_sid(state, key)}{target[len('app:') + len(key) :]}"


def module_code(name: str, account: str) -> str:
    """`self` of an application's account as a code."""
    return f"{account}.self" if name == "self" else name


def is_number(address: str) -> bool:
    return not address.lower().startswith(_USER_SCHEMES)


def canonical_address(address: str) -> str:
    """The spelling that is looked up: E.164 with `+`, users without parameters and in a lower-case
    domain."""
    if is_number(address):
        return normalised(address)
    if address.lower().startswith("sip:"):
        user, at, host = address[4:].partition(";")[0].rpartition("@")
        return f"sip:{user}@{host.lower()}" if at else f"sip:{host}"
    return address


def billing_number(state: State, key: str) -> str:
    """What an account's calls are metered to where nothing else is known: as declared, else its
    first number."""
    account: AccountDeclaration = state.accounts[key]
    if account.billing_number:
        return normalised(account.billing_number)
    own = (address for address, entry in state.addresses.items() if entry.account == key)
    return next((normalised(address) for address in own if is_number(address)), "")


def key_number(state: State, address: str) -> str:
    """What calls to a declared address are metered to."""
    declared = state.addresses[address]
    if declared.key_number:
        return normalised(declared.key_number)
    return normalised(address) if is_number(address) else billing_number(state, declared.account)
