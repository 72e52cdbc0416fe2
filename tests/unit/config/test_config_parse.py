"""A wrong configuration is refused with file, line, path, what is wrong and what was expected."""

from __future__ import annotations

from pathlib import Path

import pytest

from callrouter.config import Config, load_config, parse_config, render_reference
from callrouter.errors import ConfigurationError

ROOT = Path(__file__).parents[3]
AC = "AC" + "1" * 32
BASE = f"""\
owners: {{acme: {{name: Acme}}}}
accounts:
  demo: {{sid: {AC}, token: 0123456789abcdef}}
plans:
  low: {{prices: {{bridge: "0.01"}}}}
modules:
  acme.menu:
    inlet: https://acme.example/menu
    outlets: [agent]
    parameters: {{tries: {{type: integer}}}}
applications:
  line:
    account: demo
    start: menu
    instances: {{menu: {{module: acme.menu}}, own: {{module: self, url: "https://demo.example/"}}}}
    flow: {{menu.agent: own}}
addresses:
  "+15550100": {{account: demo, target: app:line}}
"""


def _parse(text: str) -> Config:
    return parse_config(text, file="config.yaml", environment={})


def _refused(text: str) -> str:
    with pytest.raises(ConfigurationError) as refused:
        _parse(text)
    return str(refused.value)


def test_everything_has_a_default() -> None:
    config = _parse("")
    assert config.sip.listen[0].port == 5060
    assert config.accounts == {}
    assert _parse("sip:\naddresses:\n").sip == config.sip


def test_text_becomes_what_the_setting_is() -> None:
    config = _parse("api: {port: 8088}\nfetch: {verify_tls: no}\nmetering: {heartbeat_seconds: 0.5}\n")
    assert (config.api.port, config.fetch.verify_tls, config.metering.heartbeat_seconds) == (8088, False, 0.5)


def test_the_shipped_configuration_is_valid_and_prices_bridge_below_application_below_service() -> None:
    config = load_config(ROOT / "config.yaml", {})
    plans = config.default_plans()
    prices = [
        float(config.plans[plans[module]].prices[mode].price or "nan")  # type: ignore[index]  # a str
        for module, mode in (
            ("platform.bridge", "bridge"),
            ("acme.menu", "application"),
            ("beta.survey", "service"),
        )
    ]
    assert prices == sorted(prices)
    assert len(set(prices)) == 3
    assert "127.0.0.1:8101" in config.private_hosts()
    assert config.storage.data_directory == ROOT / "var"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("api:\n  port: abc\n", "config.yaml:2: api.port: is 'abc'; expected a whole number from 0 to 65535"),
        (
            "api:\n  port: 70000\n",
            "config.yaml:2: api.port: is '70000'; expected a whole number from 0 to 65535",
        ),
        (
            "api:\n  prot: 1\n",
            "config.yaml:2: api.prot: unknown key; did you mean port?  expected one of host,",
        ),
        ("spi: {}\n", "config.yaml:1: spi: unknown key; did you mean sip?"),
        ("api: 5\n", "config.yaml:1: api: is '5'; expected a mapping"),
        (
            "fetch:\n  verify_tls: perhaps\n",
            "config.yaml:2: fetch.verify_tls: is 'perhaps'; expected true or false",
        ),
        (
            "sip:\n  listen:\n    - transport: sctp\n",
            "config.yaml:3: sip.listen[0].transport: is 'sctp'; expected one of",
        ),
        (
            "credits: [{account: demo, amount: 0.00000001, key: k}]",
            "config.yaml:1: credits[0].amount: is '0.00000001'; expected a number above 0 with no more",
        ),
        (
            "credits: [{account: demo, amount: 0, key: k}]",
            "config.yaml:1: credits[0].amount: is '0'; expected a number above 0",
        ),
        ("sip: {listen: []}\n", "config.yaml:1: sip.listen: too few; expected at least 1"),
        ("sip: {listen: tcp}\n", "config.yaml:1: sip.listen: is 'tcp'; expected a list"),
        (
            "accounts:\n  demo:\n    token: 0123456789abcdef\n",
            "config.yaml:2: accounts.demo.sid: missing; expected",
        ),
        (
            "accounts:\n  demo:\n    sid: AC1\n    token: 0123456789abcdef\n",
            "config.yaml:3: accounts.demo.sid: is 'AC1'; expected AC and 32 hex digits",
        ),
        (
            "modules:\n  menu: {inlet: 'https://x/'}\n",
            "config.yaml:2: modules.menu: 'menu' cannot be a name here",
        ),
        (
            "modules:\n  a.menu: {inlet: 'https://x/', private_hosts: [localhost]}\n",
            "config.yaml:2: modules.a.menu.private_hosts[0]: is 'localhost'; expected `host:port`",
        ),
        (
            "plans:\n  p:\n    prices: {lunch: 1}\n",
            "config.yaml:3: plans.p.prices.lunch: 'lunch' cannot be a name here",
        ),
        (
            "plans:\n  p:\n    prices:\n      bridge: cheap\n",
            "config.yaml:4: plans.p.prices.bridge.price: is 'cheap'; expected a decimal: the price of",
        ),
        (
            "plans:\n  p:\n    prices:\n      bridge: {increment_s: 6}\n",
            "config.yaml:4: plans.p.prices.bridge: `price` is missing",
        ),
        (
            "plans:\n  p:\n    zone: Mars/Olympus\n    prices: {bridge: 1}\n",
            "config.yaml:3: plans.p.zone: expected an IANA time zone",
        ),
    ],
)
def test_each_mistake_is_told_with_line_path_and_what_was_expected(text: str, expected: str) -> None:
    assert _refused(text).startswith(expected)


def test_secrets_are_not_repeated_in_messages() -> None:
    message = _refused(f"accounts:\n  demo: {{sid: {AC}, token: hunter2}}\n")
    assert "config.yaml:2: accounts.demo.token: too short; expected at least 16 characters" in message
    assert "hunter2" not in message


def test_the_base_of_the_following_mistakes_is_valid() -> None:
    assert _parse(BASE).applications["line"].start == "menu"


@pytest.mark.parametrize(
    ("find", "replace", "expected"),
    [
        (
            "account: demo, target",
            "account: nobody, target",
            "addresses.+15550100.account: no account 'nobody' is declared; expected one of demo",
        ),
        ("target: app:line", "target: app:other", "addresses.+15550100.target: target 'app:other'"),
        ("target: app:line", "target: module:acme.none", "addresses.+15550100.target: no module 'acme.none'"),
        (
            "target: app:line",
            "target: voice.xml",
            "addresses.+15550100.target: target 'voice.xml' has no scheme",
        ),
        (
            "target: app:line}",
            "target: app:line, status_callback: x}",
            "addresses.+15550100.status_callback: 'x'",
        ),
        ('"+15550100":', '"15550100":', "addresses.15550100: '15550100' is no address"),
        ('"+15550100":', '"+1 555 0100":', "addresses.+1 555 0100: expected it written as +15550100"),
        (
            '"+15550100":',
            '"sip:a@EXAMPLE.com":',
            "addresses.sip:a@EXAMPLE.com: expected it written as sip:a@example.com",
        ),
        ('"+15550100":', '"client:bob":', "addresses.client:bob: there is no number to meter its calls to"),
        ("start: menu", "start: door", "applications.line.start: no instance 'door'"),
        (
            "module: acme.menu}",
            "module: acme.nemu}",
            "applications.line.instances.menu.module: no module 'acme.nemu'",
        ),
        (
            "module: acme.menu}",
            "module: acme.menu, url: x}",
            "applications.line.instances.menu.url: acme.menu has an inlet",
        ),
        (
            "module: acme.menu}",
            "module: acme.menu, parameters: {tries: x}}",
            "applications.line.instances.menu.parameters.tries: 'x'; expected a whole number",
        ),
        (
            "module: acme.menu}",
            "module: acme.menu, parameters: {tires: 1}}",
            "applications.line.instances.menu.parameters.tires: acme.menu declares no such parameter",
        ),
        (
            'module: self, url: "https://demo.example/"',
            "module: self",
            "applications.line.instances.own.url: an instance of self needs a URL",
        ),
        (
            "menu.agent: own",
            "menu.agnet: own",
            "applications.line.flow.menu.agnet: acme.menu has no outlet 'agnet'; expected one of agent",
        ),
        (
            "menu.agent: own",
            "menu.agent: nowhere",
            "applications.line.flow.menu.agent: no instance 'nowhere'",
        ),
        (
            "flow: {menu.agent: own}",
            "events: {menu.lunch: own}",
            "applications.line.events.menu.lunch: there is no event 'lunch'",
        ),
        (
            "flow: {menu.agent: own}",
            "events: {menu.ended: 'ftp://x'}",
            "applications.line.events.menu.ended: target 'ftp://x'",
        ),
        (
            "outlets: [agent]",
            "plan: gold",
            "modules.acme.menu.plan: no plan 'gold' is declared; expected one of low",
        ),
        (
            "owners: {acme:",
            "owners: {beta:",
            "modules.acme.menu: no owner 'acme' is declared; expected one of beta",
        ),
        ("owners: {acme:", "owners: {demo: {name: D}, acme:", "accounts.demo: 'demo' is an owner as well"),
        (
            "accounts:\n",
            f"accounts:\n  platform: {{sid: AC{'2' * 32}, token: 0123456789abcdef}}\n",
            "accounts.platform: 'platform' is an owner as well",
        ),
        (
            "accounts:\n",
            f"accounts:\n  twin: {{sid: {AC}, token: 0123456789abcdef}}\n",
            "accounts.demo.sid: accounts.twin has this sid",
        ),
        (
            "accounts:\n",
            f"accounts:\n  other: {{sid: AC{'2' * 32}, token: 0123456789abcdef, fallback: 'app:line'}}\n",
            "accounts.other.fallback: application line belongs to account demo",
        ),
        ("acme.menu:\n", "acme.self:\n", "modules.acme.self: `self` is every account's own module"),
        ("acme.menu:\n", "platform.bridge:\n", "modules.platform.bridge: platform.bridge is built in"),
        (
            "{type: integer}",
            "{type: integer, default: x}",
            "modules.acme.menu.parameters.tries.default: 'x'; expected a whole number",
        ),
        (
            "0123456789abcdef}",
            "0123456789abcdef, parent: demo}",
            "accounts.demo.parent: the account is below itself",
        ),
        ("0123456789abcdef}", "0123456789abcdef, plan: gold}", "accounts.demo.plan: no plan 'gold'"),
        (
            "0123456789abcdef}",
            "0123456789abcdef, billing_number: x}",
            "accounts.demo.billing_number: 'x' is no telephone number",
        ),
        ("0123456789abcdef}", "0123456789abcdef, fallback: x}", "accounts.demo.fallback: target 'x'"),
        ("plans:", "bridge_plan: gold\nplans:", "bridge_plan: no plan 'gold'"),
        (
            "plans:",
            "subscriptions: [{module: acme.menu}]\nplans:",
            "subscriptions[0]: given for none; expected one of number, application, account",
        ),
        (
            "plans:",
            "subscriptions: [{module: acme.menu, account: x}]\nplans:",
            "subscriptions[0].account: no account 'x'",
        ),
        (
            "plans:",
            "subscriptions: [{module: acme.none, account: demo}]\nplans:",
            "subscriptions[0].module: no module 'acme.none'",
        ),
        (
            "plans:",
            "subscriptions: [{module: acme.menu, account: demo, ends: 2026-01-01T00:00:00}]\nplans:",
            "subscriptions[0].ends: the time has no zone",
        ),
        (
            "plans:",
            "policy: {banned: [{party: caller, pattern: x, account: y}]}\nplans:",
            "policy.banned[0].account: no account 'y'",
        ),
        (
            "plans:",
            "credits: [{account: y, amount: 1, key: k}]\nplans:",
            "credits[0].account: no account 'y'",
        ),
        (
            "plans:",
            "credits: [{account: demo, amount: 1, key: k}, {account: demo, amount: 1, key: k}]\nplans:",
            "credits[1].key: 'k' is given twice",
        ),
    ],
)
def test_a_reference_to_what_is_not_declared_is_refused(find: str, replace: str, expected: str) -> None:
    text = BASE.replace(find, replace, 1)
    assert text != BASE
    messages = [line.split(": ", 1) for line in _refused(text).splitlines()]
    assert any(what.startswith(expected) for _where, what in messages), messages
    assert all(where.startswith("config.yaml:") for where, _what in messages)


def test_all_mistakes_are_told_at_once() -> None:
    message = _refused("api:\n  port: abc\n  prot: 1\nfetch:\n  redirects: many\n")
    assert [line.partition(": ")[0] for line in message.splitlines()] == [
        "config.yaml:2",
        "config.yaml:3",
        "config.yaml:5",
    ]


def test_a_file_that_is_not_there_or_no_text_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="there is no such file"):
        load_config(tmp_path / "none.yaml", {})
    latin = tmp_path / "latin.yaml"
    latin.write_bytes(b"owners:\n  acme: {name: M\xfcller}\n")
    with pytest.raises(ConfigurationError, match=r"latin\.yaml:2: not UTF-8"):
        load_config(latin, {})


def test_relative_paths_are_relative_to_the_file(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text("storage: {data_directory: kept}\nspeech: {cache_dir: /absolute}\n")
    config = load_config(file, {})
    assert config.storage.data_directory == tmp_path / "kept"
    assert config.speech.cache_dir == Path("/absolute")
    assert config.fetch.media_cache_dir.is_absolute()


def test_the_reference_page_is_current() -> None:
    """When this fails: python -c 'from callrouter.config import *; print(render_reference(), end="")'"""
    assert (ROOT / "docs" / "configuration.md").read_text() == render_reference()


def test_every_key_is_described() -> None:
    lines = [line for line in render_reference().splitlines() if line.startswith("| `")]
    assert len(lines) > 100
    assert [line for line in lines if line.endswith("|  |")] == []
