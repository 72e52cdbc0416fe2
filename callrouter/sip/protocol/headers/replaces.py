"""`Replaces` (RFC 3891): the dialog whose place a new call takes."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote as percent_encode

from callrouter.sip.protocol.grammar import parameter, parse_parameters


@dataclass(frozen=True, slots=True)
class Replaces:
    call_id: str
    to_tag: str
    """Of the end that receives the INVITE."""
    from_tag: str
    early_only: bool = False

    @classmethod
    def parse(cls, value: str) -> Replaces:
        """Raises `ValueError`."""
        call_id, semicolon, rest = value.partition(";")
        parameters = parse_parameters(rest) if semicolon else ()
        to_tag, from_tag = parameter(parameters, "to-tag"), parameter(parameters, "from-tag")
        if not call_id.strip() or not to_tag or not from_tag:
            raise ValueError("Replaces without a Call-ID or a tag")
        return cls(call_id.strip(), to_tag, from_tag, parameter(parameters, "early-only") is not None)

    def names(self, call_id: str, local_tag: str, remote_tag: str) -> bool:
        """It is the dialog that has these at the end which is asked."""
        return (self.call_id, self.to_tag, self.from_tag) == (call_id, local_tag, remote_tag)

    def __str__(self) -> str:
        early = ";early-only" if self.early_only else ""
        return f"{self.call_id};to-tag={self.to_tag};from-tag={self.from_tag}{early}"

    @property
    def escaped(self) -> str:
        """As it stands in the headers of a URI."""
        return percent_encode(str(self), safe="")
