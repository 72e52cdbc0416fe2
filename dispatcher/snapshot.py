"""Everything a dispatch looks up, in memory and unchanging: deciding takes microseconds and is
never half old, half new.  Whoever changes the tables loads another."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from callrouter.identity.accounts import Account, Accounts, ApiKey
from callrouter.identity.addresses import Address
from dispatcher.flows import Application
from dispatcher.numbers import find
from dispatcher.policy.facts import Ban, NumberState
from dispatcher.settings import Settings
from modules.library.bridge import DECLARATION as BRIDGE_MODULE
from modules.module import BRIDGE, Module, self_module
from modules.registry import ModuleRegistry
from modules.subscriptions import Subscription, Subscriptions


class Snapshot:
    """`platform.bridge` and each account's `self` are added to `modules` where they are missing."""

    def __init__(
        self,
        *,
        accounts: Iterable[Account] = (),
        api_keys: Iterable[ApiKey] = (),
        addresses: Iterable[Address] = (),
        modules: Iterable[Module] = (),
        subscriptions: Iterable[Subscription] = (),
        applications: Iterable[Application] = (),
        bans: Iterable[Ban] = (),
        settings: Settings | None = None,
    ) -> None:
        self.settings = settings or Settings()
        self.accounts = Accounts(accounts, api_keys)
        self._own = {
            account.sid: self_module(account.code, secret=account.token, plan=account.plan)
            for account in self.accounts
        }
        declared = list(modules)
        bridges = [] if any(module.code == BRIDGE for module in declared) else [BRIDGE_MODULE]
        self.modules = ModuleRegistry([*self._own.values(), *bridges, *declared])
        self.subscriptions = Subscriptions(subscriptions)
        self.applications: Mapping[str, Application] = {a.sid: a for a in applications}
        self._bans = tuple(bans)
        self._emergency = frozenset(number.lstrip("+") for number in self.settings.emergency_numbers)
        self._mappings: dict[str, Address] = {}
        self._numbers: dict[tuple[str, str], NumberState] = {}
        self._learn_addresses(addresses)

    def account(self, sid: str) -> Account | None:
        return self.accounts.get(sid)

    def own_module(self, account_sid: str) -> Module:
        """The module `self` of an account; an unknown account's has no secret and no plan."""
        own = self._own.get(account_sid)
        return own or self_module(account_sid or "nobody", secret="", plan="")

    def mapping(self, address: str) -> Address | None:
        return find(self._mappings, address, self.settings.default_region)

    def number_state(self, account_sid: str, key_number: str) -> NumberState:
        return self._numbers.get((account_sid, key_number), NumberState.UNKNOWN)

    def bans(self, account_sid: str) -> tuple[Ban, ...]:
        return tuple(ban for ban in self._bans if ban.account_sid in ("", account_sid))

    def is_emergency(self, number: str) -> bool:
        return number.removeprefix("tel:").lstrip("+") in self._emergency

    def _learn_addresses(self, addresses: Iterable[Address]) -> None:
        for account in self.accounts:
            if account.billing_number:
                self._numbers[account.sid, account.billing_number] = NumberState.ACTIVE
        listed = list(addresses)
        for address in listed:
            self._mappings[address.address] = address
            if address.active:
                self._numbers[address.account_sid, address.key_number] = NumberState.ACTIVE
            else:
                self._numbers.setdefault((address.account_sid, address.key_number), NumberState.INACTIVE)
        for address in listed:
            # What is said of a number itself outweighs what its users and the account say.
            if address.address == address.key_number:
                state = NumberState.ACTIVE if address.active else NumberState.INACTIVE
                self._numbers[address.account_sid, address.address] = state
