"""A process that only receives RTP, one socket a leg, and reads the kernel's clock on each packet.

Prints its ports in JSON; at each line on standard input it prints what every leg received since the
line before, in JSON, in the order of the ports (`Leg`)."""

from __future__ import annotations

import json
import select
import socket
import struct
import sys
from array import array
from dataclasses import asdict, dataclass
from itertools import pairwise

SO_TIMESTAMPNS = 35
"""Not among Python's names: Linux stamps what arrives in nanoseconds of CLOCK_REALTIME."""
_STAMP = struct.Struct("qq")
_SILENT = frozenset(b"\xff\x7f\xd5\x55")
BUFFER = 1 << 20


@dataclass(slots=True)
class Leg:
    """What arrived; times are nanoseconds of CLOCK_REALTIME, 0 where nothing did."""

    packets: int = 0
    lost: int = 0
    """Sequence numbers that are missing."""
    first_ns: int = 0
    last_ns: int = 0
    loud_ns: int = 0
    """First packet that is not silence."""
    gaps_us: tuple[int, ...] = ()
    """Between packets, in order of arrival."""


class Receiver:
    def __init__(self, host: str) -> None:
        self.socket = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setblocking(False)
        self.socket.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER)
        self.socket.bind((host, 0))
        self._begin()

    @property
    def port(self) -> int:
        return int(self.socket.getsockname()[1])

    def _begin(self) -> None:
        self._at = array("q")
        self._numbers = array("H")
        self._loud_ns = 0

    def drain(self) -> None:
        while True:
            try:
                packet, control, _, _ = self.socket.recvmsg(2048, 64)
            except BlockingIOError:
                return
            if len(packet) < 12 or packet[0] >> 6 != 2 or 64 <= packet[1] & 0x7F < 96:
                continue
            seconds, nanoseconds = _STAMP.unpack(control[0][2])
            at = seconds * 1_000_000_000 + nanoseconds
            self._at.append(at)
            self._numbers.append(int.from_bytes(packet[2:4], "big"))
            if not self._loud_ns and not _SILENT.issuperset(packet[12:]):
                self._loud_ns = at

    def report(self) -> Leg:
        at, numbers, loud = self._at, self._numbers, self._loud_ns
        self._begin()
        if not at:
            return Leg()
        span = (numbers[-1] - numbers[0]) % 65536 + 1
        gaps = tuple((later - earlier) // 1000 for earlier, later in pairwise(at))
        return Leg(len(at), max(0, span - len(set(numbers))), at[0], at[-1], loud, gaps)


def main() -> None:
    host, count = sys.argv[1], int(sys.argv[2])
    receivers = [Receiver(host) for _ in range(count)]
    print(json.dumps([receiver.port for receiver in receivers]), flush=True)
    poll = select.epoll()
    by_number = {receiver.socket.fileno(): receiver for receiver in receivers}
    for number in (*by_number, sys.stdin.fileno()):
        poll.register(number, select.EPOLLIN)
    while True:
        for number, _ in poll.poll():
            if number in by_number:
                by_number[number].drain()
            elif sys.stdin.readline():
                print(json.dumps([asdict(receiver.report()) for receiver in receivers]), flush=True)
            else:
                return


if __name__ == "__main__":
    main()
