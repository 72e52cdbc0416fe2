"""One target under the fuzzer: `python -m tests.fuzz.one TARGET [options of libFuzzer] [folders]`."""

from __future__ import annotations

import sys

import atheris

with atheris.instrument_imports(include=["callrouter.sip.protocol"]):
    from tests.fuzz.targets import TARGETS


def main() -> None:
    target = TARGETS[sys.argv.pop(1)]
    atheris.Setup(sys.argv, target)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
