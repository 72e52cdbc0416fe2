"""The configuration: every room's settings, and the declared state.

`load_config` reads `config.yaml`; whatever is wrong with it is refused before anything starts, all
at once, each with its line.  `render_reference` writes docs/configuration.md from the same models.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field, ValidationError

from callrouter.api.settings import Settings as ApiSettings
from callrouter.calls.settings import Settings as CallsSettings
from callrouter.declared.references import wrong_references
from callrouter.declared.schema import Key, Schema
from callrouter.declared.source import Source, read_source, refuse
from callrouter.declared.state import State
from callrouter.declared.validation import problems
from callrouter.errors import ConfigurationError
from callrouter.fetch.settings import Settings as FetchSettings
from callrouter.media.settings import Settings as MediaSettings
from callrouter.sip.settings import Settings as SipSettings
from callrouter.speech.settings import Settings as SpeechSettings
from callrouter.storage.settings import Settings as StorageSettings
from dispatcher.settings import Settings as DispatcherSettings
from metering.settings import Settings as MeteringSettings

MAX_BYTES = 4 << 20
"""A configuration file is written by hand."""


class Config(State):
    """`config.yaml` as a whole."""

    sip: SipSettings = Field(default=SipSettings(), description="Signalling: listeners and trunks.")
    api: ApiSettings = Field(default=ApiSettings(), description="The HTTP listener.")
    calls: CallsSettings = Field(default=CallsSettings(), description="Limits of call control.")
    fetch: FetchSettings = Field(default=FetchSettings(), description="Fetching documents and media.")
    media: MediaSettings = Field(default=MediaSettings(), description="The RTP engine.")
    speech: SpeechSettings = Field(default=SpeechSettings(), description="Text to speech.")
    dispatcher: DispatcherSettings = Field(
        default=DispatcherSettings(), description="Deciding who controls a call."
    )
    metering: MeteringSettings = Field(default=MeteringSettings(), description="Counting and pricing.")
    storage: StorageSettings = Field(default=StorageSettings(), description="Where everything is kept.")

    def default_plans(self) -> dict[str, str]:
        """Usage plan of each module that has one, by code."""
        plans = {"platform.bridge": self.bridge_plan}
        plans |= {code: module.plan for code, module in self.modules.items()}
        plans |= {f"{key}.self": account.plan for key, account in self.accounts.items()}
        return {module: plan for module, plan in plans.items() if plan}

    def private_hosts(self) -> frozenset[str]:
        """Every private `host:port` that may be fetched from: the endpoints' and the modules'."""
        declared = (host for module in self.modules.values() for host in module.private_hosts)
        return frozenset((*self.fetch.allow_private, *declared))


def load_config(path: Path, environment: Mapping[str, str]) -> Config:
    """The configuration in the file `path`; its relative paths are relative to the file's folder.
    Raises `ConfigurationError`, which names the file, the lines, and what was expected."""
    file = str(path)
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        raise ConfigurationError("there is no such file; name one with --config", file=file) from None
    except OSError as error:
        raise ConfigurationError(f"cannot be read: {error.strerror}", file=file) from None
    if len(raw) > MAX_BYTES:
        raise ConfigurationError(f"has {len(raw)} bytes; at most {MAX_BYTES} are read", file=file)
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise ConfigurationError("not UTF-8 text; save it as UTF-8", file=file, line=line) from None
    config = parse_config(text, file=file, environment=environment)
    return _anchored(config, path.resolve().parent)


def parse_config(text: str, *, file: str, environment: Mapping[str, str]) -> Config:
    """The configuration in `text`; `file` is what errors call it."""
    source = read_source(text, file=file, environment=environment)
    try:
        # An empty section is one with nothing in it.
        config = Config.model_validate({k: v for k, v in source.data.items() if v is not None})
    except ValidationError as error:
        raise refuse(file, problems(error, source, Schema(Config))) from None
    _check_references(config, source)
    return config


def render_reference() -> str:
    """docs/configuration.md."""
    return "\n".join(_reference()) + "\n"


def _check_references(config: Config, source: Source) -> None:
    wrong = [source.problem(path, what) for path, what in wrong_references(config)]
    if wrong:
        raise refuse(source.file, wrong)


def _anchored(config: Config, folder: Path) -> Config:
    """`config` with each relative path of the rooms' settings taken from `folder`."""
    changed: dict[str, Any] = {}
    for name in Config.model_fields:
        room = getattr(config, name)
        if name not in State.model_fields and isinstance(room, BaseModel):
            changed[name] = _from(folder, room)
    return config.model_copy(update=changed)


def _from(folder: Path, value: Any) -> Any:
    """A setting, or whatever settings it consists of, with its relative paths taken from `folder`."""
    if isinstance(value, Path):
        return folder / value  # which leaves an absolute one as it is
    if isinstance(value, tuple):
        return tuple(_from(folder, one) for one in value)
    if isinstance(value, BaseModel):
        fields = {key: _from(folder, getattr(value, key)) for key in type(value).model_fields}
        return value.model_copy(update=fields)
    return value


_INTRODUCTION = """\
# Configuration

One YAML file, `config.yaml` unless `--config` names another. Everything has a default but what is
marked *required*; a file that is wrong is refused at start with its line and what was expected.

- `${NAME}` is replaced by the environment variable `NAME`, `${NAME:-else}` by its value or `else`;
  `$${` is a plain `${`. Secrets belong there, not into the file.
- Relative paths are relative to the folder of the file.
- Stored secrets are encrypted with the key in the environment variable `CALLROUTER_KEY` (64 hex
  digits, or base64 of 32 bytes), else with one that is made in the data directory at first start.
- Below, `<name>` is a name of your choice, `[]` an entry of a list.

The first part sets up the server. The second declares its starting state: it is applied at every
start and by `callrouter apply` (`--diff` only shows what that would do). Only what changed in the
file since the last time is written; what the file no longer has is disabled if the file made it;
a changed price is a new version of its plan.

This page is generated from the settings; a test keeps it current.
"""


def _reference() -> Iterator[str]:
    schema = Schema(Config)
    yield _INTRODUCTION
    yield "## The server\n"
    for name in sorted(set(Config.model_fields) - set(State.model_fields)):
        yield from _section(schema, name)
    yield "## The declared state\n"
    for name in State.model_fields:
        yield from _section(schema, name)


def _section(schema: Schema, name: str) -> Iterator[str]:
    yield f"### `{name}`\n"
    yield f"{Config.model_fields[name].description}\n"
    keys = list(schema.keys(name))
    if not keys:
        return
    yield "| key | holds | default | |"
    yield "|---|---|---|---|"
    yield from map(_line, keys)
    yield ""


def _line(key: Key) -> str:
    default = "*required*" if key.required else f"`{key.default}`" if key.default else ""
    cells = (f"`{key.path}`", key.kind, default, key.description)
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
