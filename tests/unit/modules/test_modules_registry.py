from __future__ import annotations

import pytest

from modules.module import Layer, Module
from modules.registry import ModuleRegistry


def _module(code: str, inlet: str) -> Module:
    return Module(code, code.partition(".")[0], Layer.APPLICATION, inlet)


REGISTRY = ModuleRegistry(
    [
        _module("acme.all", "https://acme.example/"),
        _module("acme.menu", "https://acme.example/menu"),
        _module("acme.deep", "https://acme.example/menu/deep/"),
        _module("beta.one", "https://beta.example:8443/x.php?version=2#rc=1"),
        _module("beta.two", "https://beta.example:8443/x.php"),
        _module("gamma.sip", "sip:gamma@example.com"),
        _module("idn.one", "https://bücher.example/voice"),
    ]
)


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("https://acme.example", "acme.all"),
        ("https://acme.example/other", "acme.all"),
        ("https://acme.example/menu", "acme.menu"),
        ("https://acme.example/menu/", "acme.menu"),
        ("https://acme.example/menu?x=/menu/deep", "acme.menu"),
        ("https://acme.example/menus", "acme.all"),
        ("https://acme.example/menu/deep", "acme.deep"),
        ("https://acme.example/menu/deep/er", "acme.deep"),
        ("https://acme.example/menu/deeper", "acme.menu"),
        ("https://acme.example/menu/deep/../x", "acme.menu"),
        ("https://ACME.example:443/x/../%6Denu/./1", "acme.menu"),
        ("https://acme.example.//menu", "acme.menu"),
        ("https://user:secret@acme.example/menu", "acme.menu"),
        ("https://beta.example:8443/x.php?version=1", "beta.one"),
        ("https://xn--bcher-kva.example/voice", "idn.one"),
    ],
)
def test_a_url_belongs_to_the_longest_inlet_on_path_boundaries(url: str, code: str) -> None:
    found = REGISTRY.owner_of(url)
    assert found is not None
    assert found.code == code


@pytest.mark.parametrize(
    "url",
    [
        "http://acme.example/menu",
        "https://acme.example:8443/menu",
        "https://beta.example/x.php",
        "https://acme.example.evil.example/menu",
        "sip:gamma@example.com",
        "https://[::1/menu",
        "nonsense",
        "",
    ],
)
def test_a_url_elsewhere_is_nobodys(url: str) -> None:
    assert REGISTRY.owner_of(url) is None


def test_of_several_modules_with_one_inlet_the_running_one_is_meant() -> None:
    for code in ("beta.one", "beta.two"):
        found = REGISTRY.owner_of("https://beta.example:8443/x.php", running=code)
        assert found is not None
        assert found.code == code
