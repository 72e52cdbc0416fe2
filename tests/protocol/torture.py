"""What this server owes to each message of RFC 4475 and RFC 5118, over datagrams and streams.

An outcome is what comes of a message, in words: `call` (a call is offered to the application),
a status, `silence`, `waits` (a stream that needs more, and closes when it does not come), `close`
(the connection is closed behind it).  Where datagram and stream differ by nature, there are two.

Registrations are challenged, where the RFC assumes a registrar that lets everybody in; what they get
once the challenge is answered is in test_sip_registrar.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

DATA = Path(__file__).parents[1] / "data"


@dataclass(frozen=True)
class Owed:
    udp: str
    tcp: str = ""
    """"" = as over UDP."""

    def over(self, transport: str) -> str:
        return self.udp if transport == "udp" else self.tcp or self.udp


RFC4475 = {
    # 3.1.1 valid
    "wsinv": Owed("481"),  # understood to the last fold: its To tag names a dialog we do not have
    "intmeth": Owed("501"),
    "esc01": Owed("call"),
    "escnull": Owed("401"),
    "esc02": Owed("501"),
    "lwsdisp": Owed("200"),
    "longreq": Owed("call"),
    # On a stream the octets behind a message are the next one, and what is behind that is no message.
    "dblreq": Owed("401", "401 call close"),
    "semiuri": Owed("200"),
    "transports": Owed("200"),
    "mpart01": Owed("405"),
    "unreason": Owed("silence"),
    "noreason": Owed("silence"),
    # 3.1.2 invalid
    "badinv01": Owed("400"),
    "clerr": Owed("400", "waits"),
    "ncl": Owed("400", "400 close"),
    "scalar02": Owed("400"),
    "scalarlg": Owed("silence"),
    "quotbal": Owed("400"),
    "ltgtruri": Owed("400"),
    "lwsruri": Owed("400"),
    "lwsstart": Owed("400"),
    "trws": Owed("400"),
    "escruri": Owed("400"),
    "baddate": Owed("call"),  # Date is of no use to us: be liberal
    "regbadct": Owed("400"),
    "badaspec": Owed("400"),
    "baddn": Owed("400", "waits"),  # as archived it has no blank line
    "badvers": Owed("505"),
    "mismatch01": Owed("400"),
    "mismatch02": Owed("501"),
    "bigcode": Owed("silence"),
    # 3.2 transaction layer
    "badbranch": Owed("200"),  # matched by the rules of RFC 2543
    # 3.3 application layer
    "insuf": Owed("400"),
    "unkscm": Owed("416"),
    "novelsc": Owed("416"),
    "unksm2": Owed("404"),
    "bext01": Owed("420"),
    "invut": Owed("415"),
    "regaut01": Owed("401"),
    "multi01": Owed("400"),
    "mcl01": Owed("400", "400 close"),
    "bcast": Owed("silence"),
    "zeromf": Owed("200"),
    "cparam01": Owed("401"),
    "cparam02": Owed("401"),
    "regescrt": Owed("401"),
    "sdp01": Owed("406"),
    # 3.4 backward compatibility
    "inv2543": Owed("call", "400 close"),  # no Content-Length: cannot be framed on a stream
}

RFC5118 = {
    "ipv6-good": Owed("401"),
    "ipv6-bad": Owed("400"),
    "port-ambiguous": Owed("401"),
    "port-unambiguous": Owed("401"),
    "via-received-param-with-delim": Owed("481"),
    "via-received-param-no-delim": Owed("200"),
    "ipv6-in-sdp": Owed("488"),  # G.726 is all it offers
    "mult-ip-in-header": Owed("481"),
    "mult-ip-in-sdp": Owed("call"),
    "ipv4-mapped-ipv6": Owed("488"),
    "ipv6-bug-abnf-3-colons": Owed("200"),
    "ipv6-correct-abnf-2-colons": Owed("200"),
}


def read(folder: str, name: str) -> bytes:
    return (DATA / folder / f"{name}.dat").read_bytes()
