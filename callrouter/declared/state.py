"""What configuration may declare: the starting state of accounts, addresses, modules and plans.

Keys of mappings are names; what is checked here is each entry on its own, `references.py` checks
that what they name exists.
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, StringConstraints, model_validator

from callrouter.identity.accounts import AccountStatus, Funds
from dispatcher.policy.facts import Party
from modules.module import Layer, ParameterType
from modules.subscriptions import SubscriptionState

Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")]
"""Lower-case letters, digits, `-` and `_`."""
Code = Annotated[
    str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_-]*\.[a-z0-9][a-z0-9_-]*$", max_length=128)
]
"""`owner.name`."""
InstanceName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$")]
Wire = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*\.[A-Za-z0-9][A-Za-z0-9_-]*$")]
"""`instance.outlet` or `instance.event`."""
HostPort = Annotated[
    str,
    StringConstraints(pattern=r"^(\[[0-9A-Fa-f:.]+\]|[^\s:/]+):[0-9]{1,5}$"),
    Field(description="`host:port`, as URLs spell it."),
]
Method = Literal["GET", "POST"]


Price = Annotated[str, StringConstraints(pattern=r"^[0-9]{1,12}(\.[0-9]{1,12})?$")]
"""A decimal that stays text: money is never a float."""
Weekday = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]


class Declaration(BaseModel):
    """One entry of the declared state."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class OwnerDeclaration(Declaration):
    name: str = Field(description="Who is paid for the owner's modules, as shown to people.")


class AccountDeclaration(Declaration):
    sid: str = Field(pattern=r"^AC[0-9a-f]{32}$", description="AC and 32 hex digits.")
    name: str = Field(default="", description="Shown to people; by default the account's key.")
    token: SecretStr = Field(
        min_length=16,
        description="Authentication token: REST password, and signs requests to the account's documents. "
        "Best taken from the environment: `${NAME}`.",
    )
    parent: Name | None = Field(default=None, description="Key of the account above it.")
    status: AccountStatus = Field(
        default=AccountStatus.ACTIVE, description="`active`, `suspended` or `closed`."
    )
    currency: str | None = Field(
        default=None, pattern=r"^[A-Z]{3}$", description="ISO 4217 code; by default metering's."
    )
    funds: Funds = Field(
        default=Funds.PREPAID, description="`prepaid`: nothing without credit; `postpaid`: billed later."
    )
    billing_number: str = Field(
        default="",
        description="Key number of calls that have no other; by default the account's first address.",
    )
    plan: str = Field(default="", description="Usage plan of the account's own documents.")
    fallback: str = Field(
        default="", description="Target that takes over where control is refused and no flow says who does."
    )


class AddressDeclaration(Declaration):
    account: Name = Field(description="Key of the account it belongs to.")
    target: str = Field(
        description="Where calls start: any target. An application is named `app:key` here, or "
        "`app:key/instance`."
    )
    key_number: str = Field(
        default="",
        description="Number its calls are metered to; by default itself, or the billing number for a user.",
    )
    method: Method = Field(default="POST", description="How the first document is requested.")
    fallback: str = Field(default="", description="Target when the first document cannot be had.")
    fallback_method: Method = Field(default="POST", description="How the fallback is requested.")
    status_callback: str = Field(default="", description="URL told of the call's status.")
    status_callback_method: Method = Field(default="POST", description="How it is told.")
    active: bool = Field(default=True, description="false: calls are refused with 480.")


class ParameterDeclaration(Declaration):
    type: ParameterType = Field(
        default=ParameterType.TEXT,
        description="`text`, `integer`, `decimal`, `boolean`, `number` (telephone) or `target`.",
    )
    default: str | None = Field(default=None, description="Sent where nobody sets another.")
    required: bool = Field(default=False, description="Control is refused without it.")
    choices: tuple[str, ...] = Field(default=(), description="The only values there are.")
    description: str = Field(default="", description="For whoever sets it.")


class ModuleDeclaration(Declaration):
    layer: Layer = Field(
        default=Layer.APPLICATION, description="`low`, `application` or `service`: the mode it is metered in."
    )
    inlet: str = Field(
        pattern=r"^(https?|sips?|tel|builtin):",
        description="Where it begins: http:, https:, sip:, sips:, tel: or builtin:. URLs under it belong "
        "to the module.",
    )
    secret: SecretStr = Field(default=SecretStr(""), description="Signs the requests to it.")
    parameters: dict[str, ParameterDeclaration] = Field(
        default_factory=dict, description="Typed parameters, by name."
    )
    outlets: tuple[InstanceName, ...] = Field(default=(), description="Names it leaves by.")
    plan: str = Field(default="", description="Usage plan where a subscription names no other.")
    private_hosts: tuple[HostPort, ...] = Field(
        default=(),
        description="Private `host:port` its documents may be fetched from, exactly as URLs spell them.",
    )
    version: str = Field(default="1", description="Of the module, as its owner counts.")
    open: bool = Field(default=False, description="true: may be used without a subscription.")


class InstanceDeclaration(Declaration):
    module: str = Field(description="Code of the module, or `self` for the account's own documents.")
    url: str = Field(default="", description="First document of an instance of `self`.")
    parameters: dict[str, str] = Field(default_factory=dict, description="Set for this instance.")


class ApplicationDeclaration(Declaration):
    account: Name = Field(description="Key of the account it belongs to.")
    sid: str = Field(
        default="", pattern=r"^(AP[0-9a-f]{32})?$", description="AP and 32 hex digits; by default derived."
    )
    start: InstanceName = Field(description="Instance where calls enter.")
    instances: dict[InstanceName, InstanceDeclaration] = Field(description="Modules in it, by name.")
    flow: dict[Wire, InstanceName] = Field(
        default_factory=dict,
        description="`instance.outlet: instance`. `denied` is an outlet of everybody, taken when control is "
        "refused; who follows gets the parameters DeniedRule and DeniedModule.",
    )
    events: dict[Wire, str] = Field(
        default_factory=dict,
        description="`instance.event: instance or target`; events are `ended`, `failed` and `denied`.",
    )


class SubscriptionDeclaration(Declaration):
    module: Code = Field(description="Code of the module.")
    number: str = Field(default="", description="Active for this number; or:")
    application: str = Field(default="", description="for this application (key); or:")
    account: str = Field(default="", description="for this account (key).")
    plan: str = Field(default="", description="Usage plan agreed on; by default the module's.")
    starts: datetime | None = Field(default=None, description="First instant, with time zone.")
    ends: datetime | None = Field(default=None, description="First instant after it, with time zone.")
    state: SubscriptionState = Field(
        default=SubscriptionState.ACTIVE, description="`active`, or `off`: hides wider subscriptions."
    )


class BanDeclaration(Declaration):
    party: Party = Field(description="`caller`, `callee`, `owner` or `module`.")
    pattern: str = Field(min_length=1, description="Number, URI or code; `*` at the end: all that begin so.")
    account: str = Field(default="", description="Key of the account it is for; by default everybody.")
    reason: str = Field(default="", description="For the log.")


class PolicyDeclaration(Declaration):
    banned: tuple[BanDeclaration, ...] = Field(default=(), description="Who may not take part in a call.")


class SlotDeclaration(Declaration):
    from_s: int = Field(default=0, ge=0, le=86400, description="Second of the charge that it holds from.")
    price: Price = Field(description="A decimal: the price of one unit.")
    unit_s: int = Field(default=60, ge=1, le=86400, description="Seconds the price is for.")
    increment_s: int = Field(default=1, ge=1, le=86400, description="Seconds are counted in steps of this.")


class RateDeclaration(Declaration):
    """What a mode costs.  Just a price is one per minute, counted by the second."""

    price: Price | None = Field(default=None, description="A decimal: the price of one unit.")
    unit_s: int | None = Field(default=None, ge=1, le=86400, description="Seconds the price is for; 60.")
    increment_s: int | None = Field(
        default=None, ge=1, le=86400, description="Seconds are counted in steps of this; 1."
    )
    increments: str | None = Field(
        default=None,
        pattern=r"^[0-9]{1,5}/[0-9]{1,5}$",
        description="`60/6`: the first step, then the others.",
    )
    slots: tuple[SlotDeclaration, ...] | None = Field(
        default=None, description="Prices by the second of the charge, instead of one."
    )
    connect_fee: Price | None = Field(default=None, description="Once per charge, beside the time.")

    @model_validator(mode="before")
    @classmethod
    def _just_a_price(cls, value: Any) -> Any:
        return {"price": value} if isinstance(value, str) else value


class BandDeclaration(RateDeclaration):
    """A rate, and when it holds."""

    weekdays: tuple[Weekday, ...] | None = Field(default=None, description="`mon` to `sun`; by default all.")
    months: tuple[int, ...] | None = Field(default=None, description="1 to 12; by default all.")
    days: tuple[int, ...] | None = Field(default=None, description="Of the month; by default all.")
    from_: str | None = Field(default=None, alias="from", description="Local time it begins, `08:00`.")
    to: str | None = Field(default=None, description="Local time it ends, `19:00`.")
    weight: int | None = Field(default=None, ge=0, description="Of several that hold, the heaviest wins.")


class ModeDeclaration(RateDeclaration):
    """A rate at all times, or bands of rates."""

    bands: tuple[BandDeclaration, ...] | None = Field(
        default=None, description="Rates by time of day; one of them holds at all times."
    )


class PlanDeclaration(Declaration):
    currency: str | None = Field(
        default=None, pattern=r"^[A-Z]{3}$", description="ISO 4217 code; by default metering's."
    )
    zone: str | None = Field(default=None, description="IANA time zone of the bands; UTC.")
    decimals: int | None = Field(default=None, ge=0, le=6, description="Digits a charge is rounded to; 6.")
    rounding: Literal["half_up", "up", "down", "half_even"] | None = Field(
        default=None, description="How a charge is rounded; `half_up`."
    )
    rounding_scope: Literal["call", "interval"] | None = Field(
        default=None, description="What is rounded as one: a module's time on a `call`, or each `interval`."
    )
    prices_legs: bool | None = Field(default=None, description="true: calls that are dialled cost as well.")
    max_cost: Price | None = Field(default=None, description="Most that one charge can come to.")
    at_max_cost: Literal["free", "disconnect"] | None = Field(
        default=None,
        description="What happens at `max_cost`: `free` (the default), the rest costs nothing; `disconnect`, "
        "the charge goes on, and no call is ended by what it costs.",
    )
    prices: dict[Literal["setup", "bridge", "application", "service"], ModeDeclaration] = Field(
        description="By mode; a mode that is not named is free."
    )

    def content(self) -> dict[str, Any]:
        """As metering reads plans."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)


class CreditDeclaration(Declaration):
    account: Name = Field(description="Key of the account.")
    amount: Decimal = Field(
        gt=0, max_digits=18, decimal_places=6, description="In the account's currency, as a decimal."
    )
    key: str = Field(
        min_length=1, max_length=128, description="Names this credit: the same key is given only once, ever."
    )


class State(Declaration):
    """The declared state as a whole."""

    owners: dict[Name, OwnerDeclaration] = Field(default_factory=dict, description="Owners of modules.")
    accounts: dict[Name, AccountDeclaration] = Field(
        default_factory=dict, description="Accounts; the key also names the owner of `<key>.self`."
    )
    plans: dict[Name, PlanDeclaration] = Field(
        default_factory=dict, description="Usage plans; a changed price is a new version."
    )
    modules: dict[Code, ModuleDeclaration] = Field(default_factory=dict, description="Modules, by code.")
    bridge_plan: str = Field(default="", description="Usage plan of `platform.bridge`.")
    applications: dict[Name, ApplicationDeclaration] = Field(
        default_factory=dict, description="Container applications."
    )
    addresses: dict[str, AddressDeclaration] = Field(
        default_factory=dict, description="What can be called: E.164 numbers, `sip:user@host`, `client:name`."
    )
    subscriptions: tuple[SubscriptionDeclaration, ...] = Field(
        default=(), description="Modules active for a number, an application or an account."
    )
    policy: PolicyDeclaration = Field(default=PolicyDeclaration(), description="Banned lists.")
    credits: tuple[CreditDeclaration, ...] = Field(default=(), description="Opening credit.")
