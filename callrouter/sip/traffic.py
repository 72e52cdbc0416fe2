"""The figures of what passes: messages by method, class of answer, transport and trunk."""

from __future__ import annotations

from collections.abc import Callable

from callrouter.ports import Metrics
from callrouter.sip.protocol.agent import Agent
from callrouter.sip.protocol.hop import Hop, is_response
from callrouter.sip.protocol.message import Request, Response
from callrouter.sip.protocol.methods import KNOWN


class Traffic:
    def __init__(self, agent: Agent, metrics: Metrics) -> None:
        self._agent = agent
        self._metrics = metrics
        self._counters: dict[tuple[str, ...], Callable[[], None]] = {}

    def received(self, message: Request | Response, hop: Hop) -> None:
        if isinstance(message, Request):
            self._count("in", message.method, "", hop)
        elif message.status:
            method = (message.get("CSeq") or "").rpartition(" ")[2]
            self._count("in", method, f"{message.status // 100}xx", hop)

    def sent(self, data: bytes, hop: Hop) -> None:
        if is_response(data):
            at = data.find(b"\nCSeq: ")
            method = data[at : data.find(b"\r", at)].rpartition(b" ")[2].decode("latin-1")
            self._count("out", method, f"{data[8:9].decode()}xx", hop)
        else:
            self._count("out", data[: data.find(b" ")].decode(), "", hop)

    def _count(self, direction: str, method: str, answered: str, hop: Hop) -> None:
        """A request, or an answer of the class `answered`.  Whatever peers make up, labels are few."""
        admission = self._agent.admission
        trunk = "" if admission is None else admission.carrier_at(hop.host)
        key = (direction, method if method in KNOWN else "other", hop.transport, trunk, answered)
        count = self._counters.get(key)
        if count is None:
            count = self._counters[key] = self._counter(*key)
        count()

    def _counter(
        self, direction: str, method: str, transport: str, trunk: str, answered: str
    ) -> Callable[[], None]:
        labels = {"direction": direction, "method": method, "transport": transport, "trunk": trunk}
        if answered:
            return self._metrics.counter("sip_responses", **labels, **{"class": answered})
        return self._metrics.counter("sip_messages", **labels)
