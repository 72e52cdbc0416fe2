"""Figures are declared; what is not declared is refused."""

from __future__ import annotations

import pytest

from metering.prometheus import FIGURES, PrometheusMetrics


def test_figures_are_rendered_with_prefix_and_labels() -> None:
    metrics = PrometheusMetrics()
    metrics.count("sip_messages", direction="in", method="INVITE", transport="udp", trunk="")
    metrics.count("module_seconds", 1.5, module="acme.menu", mode="application")
    metrics.counter("sip_messages", direction="in", method="INVITE", transport="udp", trunk="")()
    metrics.count("rtp_lost", 3)
    metrics.gauge("calls_live", 2, state="ringing")
    metrics.observe("journal_sync_seconds", 0.002)
    answer = {"direction": "out", "method": "BYE", "class": "2xx", "transport": "tcp", "trunk": "main"}
    metrics.count("sip_responses", 1, **answer)
    text = metrics.render().decode()
    assert (
        'callrouter_sip_messages_total{direction="in",method="INVITE",transport="udp",trunk=""} 2.0' in text
    )
    assert 'callrouter_module_seconds_total{mode="application",module="acme.menu"} 1.5' in text
    assert "callrouter_rtp_lost_total 3.0" in text
    assert 'callrouter_calls_live{state="ringing"} 2.0' in text
    assert 'callrouter_journal_sync_seconds_bucket{le="0.0025"} 1.0' in text
    labels = 'class="2xx",direction="out",method="BYE",transport="tcp",trunk="main"'
    assert f"callrouter_sip_responses_total{{{labels}}} 1.0" in text


def test_two_servers_in_one_process_do_not_share_figures() -> None:
    first, second = PrometheusMetrics(), PrometheusMetrics()
    first.count("rtp_lost", 3)
    assert b"callrouter_rtp_lost_total 0.0" in second.render()


def test_an_undeclared_name_is_refused() -> None:
    metrics = PrometheusMetrics()
    with pytest.raises(KeyError):
        metrics.count("call_count")
    with pytest.raises(KeyError):
        metrics.counter("call_count")
    with pytest.raises(KeyError):
        metrics.count("calls_live", state="ringing")
    with pytest.raises(KeyError):
        metrics.observe("rtp_lost", 1)


@pytest.mark.parametrize("labels", [{}, {"state": "ringing", "number": "+15550100"}, {"status": "ringing"}])
def test_missing_and_undeclared_labels_are_refused(labels: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="label"):
        PrometheusMetrics().gauge("calls_live", 1, **labels)


def test_no_label_holds_a_telephone_number() -> None:
    assert not {label for figure in FIGURES.values() for label in figure.labels} & {
        "number",
        "from",
        "to",
        "caller",
    }
