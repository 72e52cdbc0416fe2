"""The command line: `callrouter run | call | tail | check | apply`."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import structlog
import uvloop

from callrouter import __version__
from callrouter import tail as tail_command
from callrouter.app import apply_configuration, run
from callrouter.caller import command as call_command
from callrouter.config import Config, load_config
from callrouter.errors import CallrouterError
from callrouter.verbs.check import check_document, describe

Handler = Callable[[argparse.Namespace], int]
_SIGPIPE = 141
"""As a shell tells of programs that this signal ends."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; the exit status."""
    parser = argparse.ArgumentParser(
        prog="callrouter", description="A programmable voice server: SIP in, call documents over HTTP."
    )
    parser.add_argument("--version", action="version", version=f"callrouter {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_run(commands.add_parser("run", help="run the server until it is told to stop"))
    call = commands.add_parser("call", help="place a real call to a number, and tell what happened")
    call_command.add_arguments(call)
    call.set_defaults(handler=call_command.run)
    tail = commands.add_parser("tail", help="watch a call's SIP, requests and warnings as they happen")
    tail_command.add_arguments(tail)
    tail.set_defaults(handler=tail_command.run)
    _add_check(commands.add_parser("check", help="look a call document over, line by line"))
    _add_apply(commands.add_parser("apply", help="bring the database to the state that the file declares"))
    options = parser.parse_args(arguments)
    handler: Handler = options.handler
    try:
        status = handler(options)
        sys.stdout.flush()
    except CallrouterError as error:
        print(f"callrouter: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # Whoever reads what we print has had enough, as `head` has; the interpreter would try once more.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _SIGPIPE
    return status


def _add_config(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--config", type=Path, default=Path("config.yaml"), metavar="FILE", help="default: %(default)s"
    )


def _add_run(parser: argparse.ArgumentParser) -> None:
    _add_config(parser)
    parser.add_argument(
        "--log", choices=["json", "text"], default="json", help="how to write the log (default: %(default)s)"
    )
    parser.add_argument(
        "--log-level",
        choices=["debug", "info", "warning", "error"],
        default="info",
        help="default: %(default)s",
    )
    parser.set_defaults(handler=_run)


def _add_check(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("files", nargs="+", metavar="FILE", help="an XML document, - for standard input")
    parser.set_defaults(handler=_check)


def _add_apply(parser: argparse.ArgumentParser) -> None:
    _add_config(parser)
    parser.add_argument("--diff", action="store_true", help="only show what would change")
    parser.set_defaults(handler=_apply)


def _run(options: argparse.Namespace) -> int:
    config = _load(options)
    _set_up_logging(options.log, options.log_level)
    uvloop.run(run(config))
    return 0


def _check(options: argparse.Namespace) -> int:
    found = False
    for name in options.files:
        for finding in check_document(_read(name)):
            print(describe("<stdin>" if name == "-" else name, finding))
            found = True
    return 1 if found else 0


def _read(name: str) -> bytes:
    if name == "-":
        return sys.stdin.buffer.read()
    try:
        return Path(name).read_bytes()
    except OSError as error:
        raise CallrouterError(f"{name} cannot be read: {error.strerror}") from None


def _apply(options: argparse.Namespace) -> int:
    print(
        asyncio.run(apply_configuration(_load(options), only_show=options.diff)).rstrip()
        or "nothing to change"
    )
    return 0


def _load(options: argparse.Namespace) -> Config:
    return load_config(options.config, os.environ)


def _set_up_logging(style: str, level: str) -> None:
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer() if style == "json" else structlog.dev.ConsoleRenderer()
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )


if __name__ == "__main__":
    sys.exit(main())
