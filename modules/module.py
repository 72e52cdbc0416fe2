"""A module: a piece of application logic that can control a call (docs/design.md §2)."""

from __future__ import annotations

import enum
import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation

BRIDGE = "platform.bridge"
"""The platform's own module for joined endpoints; bridge seconds belong to it."""


class Layer(enum.Enum):
    """How far a module is from the wire; decides the operational mode of its intervals."""

    LOW = "low"
    """Endpoints are joined, no document executes."""
    APPLICATION = "application"
    """A customer's documents."""
    SERVICE = "service"
    """A packaged service."""


class ParameterType(enum.Enum):
    """What the text of a request parameter has to look like."""

    TEXT = "text"
    INTEGER = "integer"
    DECIMAL = "decimal"
    BOOLEAN = "boolean"
    NUMBER = "number"
    """A telephone number: `+` and up to 15 digits."""
    TARGET = "target"
    """Any target URI."""


_TELEPHONE = re.compile(r"\+[1-9][0-9]{1,14}")
_TARGET = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:\S*")
_INTEGER = re.compile(r"[+-]?[0-9]{1,18}")


@dataclass(frozen=True, slots=True)
class Parameter:
    """A typed parameter that instances set and outlets pass."""

    name: str
    type: ParameterType = ParameterType.TEXT
    default: str | None = None
    required: bool = False
    choices: tuple[str, ...] = ()
    description: str = ""

    def wrong_with(self, value: str) -> str:
        """What `value` should have been, "" when it is right."""
        if self.choices and value not in self.choices:
            return f"expected one of {', '.join(self.choices)}"
        expected, accepts = _ACCEPTED[self.type]
        return "" if accepts(value) else f"expected {expected}"


def _is_decimal(value: str) -> bool:
    try:
        return Decimal(value).is_finite()
    except InvalidOperation:
        return False


_ACCEPTED: Mapping[ParameterType, tuple[str, Callable[[str], bool]]] = {
    ParameterType.TEXT: ("text", lambda value: True),
    ParameterType.INTEGER: ("a whole number", lambda value: bool(_INTEGER.fullmatch(value))),
    ParameterType.DECIMAL: ("a decimal number", _is_decimal),
    ParameterType.BOOLEAN: ("true or false", lambda value: value in ("true", "false")),
    ParameterType.NUMBER: (
        "a telephone number such as +15550100",
        lambda value: bool(_TELEPHONE.fullmatch(value)),
    ),
    ParameterType.TARGET: (
        "a target URI such as sip:agent@example.com",
        lambda value: bool(_TARGET.fullmatch(value)),
    ),
}


@dataclass(frozen=True, slots=True)
class Module:
    """The inlet may move; the code never does."""

    code: str
    """Identity code, `owner.name`."""
    owner: str
    layer: Layer
    inlet: str = ""
    """Initial URI: `https:`, `http:`, `sip:`, `tel:` or `builtin:`; "" for an account's `self`."""
    sid: str = ""
    """MO…; derived from the code where nothing else was given."""
    secret: str = field(default="", repr=False)
    """Signs requests to the module."""
    parameters: tuple[Parameter, ...] = ()
    outlets: tuple[str, ...] = ()
    plan: str = ""
    """Usage plan that applies where no subscription names another."""
    private_hosts: tuple[str, ...] = ()
    """`host:port` on private addresses that its documents may be fetched from, exactly as spelled."""
    version: str = "1"
    active: bool = True
    is_open: bool = False
    """Anybody may use it without a subscription: `self` and the platform's own."""

    @property
    def defaults(self) -> dict[str, str]:
        return {p.name: p.default for p in self.parameters if p.default is not None}

    def wrong_parameters(self, values: Mapping[str, str]) -> str:
        """The first thing wrong with `values` for this module, "" when nothing is.  Names that the
        module does not declare are no fault: they are ordinary request parameters to it."""
        for parameter in self.parameters:
            value = values.get(parameter.name)
            if value is None:
                if parameter.required:
                    return f"parameter {parameter.name} of {self.code} is missing"
                continue
            if wrong := parameter.wrong_with(value):
                return f"parameter {parameter.name} of {self.code} is {value!r}; {wrong}"
        return ""


def module_sid(code: str) -> str:
    """The MO… id of a code: a fixed function, so that it is the same on every installation."""
    return "MO" + hashlib.sha256(f"module:{code}".encode()).hexdigest()[:32]


def self_module(owner: str, *, secret: str, plan: str) -> Module:
    """The module `self` of an account: its own documents, signed with its token."""
    code = f"{owner}.self"
    return Module(
        code=code,
        owner=owner,
        layer=Layer.APPLICATION,
        sid=module_sid(code),
        secret=secret,
        plan=plan,
        is_open=True,
    )
