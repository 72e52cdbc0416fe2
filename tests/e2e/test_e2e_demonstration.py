"""The demonstration, from the tree and from an installed wheel."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.addresses import free_port

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1200)]
ROOT = Path(__file__).parents[2]
PORTS = ("5060", "8080", "8101", "8102", "8103", "5090")


def configuration(folder: Path) -> Path:
    """The shipped config.yaml on free ports."""
    text = (ROOT / "config.yaml").read_text()
    for port in PORTS:
        assert port in text, f"config.yaml no longer has a port {port}"
        text = text.replace(port, f"<{port}>")
    for port in PORTS:
        text = text.replace(f"<{port}>", str(free_port()))
    # Audio takes its ports where no test has ports of its own.
    assert text.count("\nmedia:\n") == 1
    text = text.replace("\nmedia:\n", "\nmedia:\n  first_port: 10000\n  last_port: 19999\n")
    path = folder / "config.yaml"
    path.write_text(text)
    return path


def demonstrate(python: Path, folder: Path, script: Path) -> str:
    """Run it in `folder` and return what it printed; a wrong demonstration fails the test."""
    result = subprocess.run(
        [python, script, "--once", "--config", configuration(folder)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": ""},
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def test_the_demonstration_prints_a_track_without_gap_or_overlap(tmp_path: Path) -> None:
    told = demonstrate(Path(sys.executable), tmp_path, ROOT / "examples/demo/run.py")
    assert "Everything was as it should be." in told
    assert told.count("no gap, no overlap") == 2
    for module in ("acme.menu", "platform.bridge", "beta.survey"):
        assert module in told


@pytest.mark.skipif(shutil.which("cargo") is None, reason="a wheel is built with cargo")
def test_a_wheel_in_an_empty_environment_runs_the_demonstration_elsewhere(tmp_path: Path) -> None:
    wheels, home = tmp_path / "wheels", tmp_path / "home"
    maturin = Path(sys.executable).with_name("maturin")
    run(maturin, "build", "--release", "--quiet", "--out", wheels, cwd=ROOT)
    (wheel,) = wheels.glob("*.whl")
    run(sys.executable, "-m", "venv", home)
    python = home / "bin/python"
    pip = (python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--retries", "20")
    run(*pip, "-c", ROOT / "constraints.txt", wheel)
    elsewhere = tmp_path / "elsewhere"
    shutil.copytree(ROOT / "examples/demo", elsewhere / "demo", ignore=shutil.ignore_patterns("__pycache__"))
    told = demonstrate(python, elsewhere, elsewhere / "demo/run.py")
    assert "Everything was as it should be." in told
    where = run(python, "-c", "import callrouter; print(callrouter.__file__)", cwd=elsewhere)
    assert str(home) in where


def run(*command: str | Path, cwd: Path | None = None) -> str:
    result = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=500, check=False)
    assert result.returncode == 0, f"{command}: {result.stdout}{result.stderr}"
    return result.stdout
