"""Calls over UDP from one process, as many as it takes: `python -m tests.benchmarks.load PORT USER
HOLD_SECONDS RATE:SECONDS …`.

Each phase places RATE calls a second for SECONDS: INVITE, 200, ACK, a pause, BYE, 200; of a refusal it
sends the ACK.  What is not answered is sent again as RFC 3261 says, and given up after `PATIENCE`.
Prints one line of JSON per phase, see `Phase`.  SIPp cannot tell how long a refusal took from how
long an answer took, and needs several processes for what a flood is."""

from __future__ import annotations

import heapq
import json
import os
import select
import socket
import sys
import time
from dataclasses import asdict, dataclass, field

PATIENCE = 8.0
"""Seconds until a request that nobody answers is given up."""
_T1 = 0.5
_BUFFER = 8 << 20
_SO_RCVBUFFORCE = 33
_SDP = (
    b"v=0\r\no=load 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
    b"m=audio 9 RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\n"
)


@dataclass(slots=True)
class Phase:
    """What came of the calls that were begun in it."""

    seconds: float
    offered: int = 0
    answered: int = 0
    completed: int = 0
    """BYE answered with 200."""
    completed_meanwhile: int = 0
    """Calls of this phase or the one before it that were completed while it lasted."""
    refused: int = 0
    """503."""
    failed: int = 0
    """Any other end of an INVITE: another status, or no answer."""
    byes: int = 0
    byes_lost: int = 0
    """Never answered, or not with 200."""
    refusal_ms: list[float] = field(default_factory=list)
    """From the INVITE that was answered to its 503."""
    bye_ms: list[float] = field(default_factory=list)
    """From the first BYE to its 200."""
    last_trouble: float = 0.0
    """Seconds from the beginning of the phase to its last refusal or failure."""

    @property
    def rate(self) -> float:
        """Calls completed per second, while it lasted."""
        return self.completed_meanwhile / self.seconds


@dataclass(slots=True)
class Call:
    phase: Phase
    number: int
    began: float
    asked: float
    """When the request that is open was sent last."""
    state: str = "inviting"
    to: bytes = b""
    bye_at: float = 0.0


class Load:
    def __init__(self, port: int, user: str, hold: float) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _BUFFER)
        except OSError:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)
        self._socket.bind(("127.0.0.1", 0))
        self._socket.connect(("127.0.0.1", port))
        self._socket.setblocking(False)
        self._poll = select.poll()
        self._poll.register(self._socket, select.POLLIN)
        self._own = b"127.0.0.1:%d" % self._socket.getsockname()[1]
        self._uri = b"sip:%b@127.0.0.1:%d" % (user.encode(), port)
        self._tag = os.urandom(4).hex().encode()
        self._hold = hold
        self._calls: dict[int, Call] = {}
        self._next = 0
        self._due: list[tuple[float, int, str, float]] = []
        self._now: Phase | None = None

    def run(self, rate: float, seconds: float) -> Phase:
        phase = self._now = Phase(seconds)
        start = time.perf_counter()
        while (elapsed := time.perf_counter() - start) < seconds:
            # At most so many at once: a generator that was held up must not make a burst of it.
            for _ in range(min(int(elapsed * rate) - phase.offered, 50)):
                self._invite(phase)
            self._receive(phase, start)
            self._run_timers(phase, start)
            self._poll.poll(1)
        return phase

    def settle(self, phase: Phase) -> None:
        """Go on until every call has ended one way or the other."""
        start = time.perf_counter()
        self._now = None
        while self._calls and time.perf_counter() - start < PATIENCE + 2:
            self._receive(phase, start)
            self._run_timers(phase, start)
            self._poll.poll(5)

    # -- sending

    def _send(self, data: bytes) -> None:
        try:
            self._socket.send(data)
        except (BlockingIOError, ConnectionRefusedError):
            return  # as if it were lost on the way

    def _invite(self, phase: Phase) -> None:
        now = time.perf_counter()
        self._next += 1
        phase.offered += 1
        call = self._calls[self._next] = Call(phase, self._next, now, now)
        self._send(self._request(call, b"INVITE", 1, _SDP))
        heapq.heappush(self._due, (now + _T1, call.number, "inviting", _T1))

    def _bye(self, call: Call) -> None:
        call.state, call.bye_at = "leaving", time.perf_counter()
        call.phase.byes += 1
        self._send(self._request(call, b"BYE", 2))
        heapq.heappush(self._due, (call.bye_at + _T1, call.number, "leaving", _T1))

    def _request(self, call: Call, method: bytes, cseq: int, body: bytes = b"") -> bytes:
        # The ACK of a refusal is of the INVITE's transaction, that of a 200 is not (§17.1.1.3).
        is_of_200 = method == b"ACK" and call.state != "inviting"
        branch = b"%d%b%b" % (call.number, self._tag, b"ack" if is_of_200 else b"")
        kind = b"Content-Type: application/sdp\r\n" if body else b""
        return (
            b"%b %b SIP/2.0\r\nVia: SIP/2.0/UDP %b;branch=z9hG4bK%d%b\r\nMax-Forwards: 70\r\n"
            b"From: <sip:+15551234@%b>;tag=%b%d\r\n%b\r\nCall-ID: %d-%b\r\nCSeq: %d %b\r\n"
            b"Contact: <sip:load@%b>\r\n%bContent-Length: %d\r\n\r\n%b"
        ) % (
            *(method, self._uri, self._own, cseq, branch, self._own, self._tag, call.number),
            *(call.to or b"To: <%b>" % self._uri, call.number, self._tag, cseq, method),
            *(self._own, kind, len(body), body),
        )

    # -- receiving

    def _receive(self, phase: Phase, start: float) -> None:
        for _ in range(200):
            try:
                data = self._socket.recv(4096)
            except (BlockingIOError, ConnectionRefusedError):
                return
            number = int(_between(data, b"\r\nCall-ID: ", b"-") or 0)
            call = self._calls.get(number)
            if not data.startswith(b"SIP/2.0 "):
                self._answer(data, call, phase)
            elif call is not None:
                self._on_response(call, int(data[8:11]), data, phase, time.perf_counter() - start)

    def _answer(self, data: bytes, call: Call | None, phase: Phase) -> None:
        """The server hangs up: that is how its document ends."""
        head = b"\r\n".join(
            line
            for line in data.split(b"\r\n")
            if line.startswith((b"Via:", b"From:", b"To:", b"Call-ID:", b"CSeq:"))
        )
        self._send(b"SIP/2.0 200 OK\r\n" + head + b"\r\nContent-Length: 0\r\n\r\n")
        if call is not None and call.state == "talking":
            self._completed(call, phase)

    def _on_response(self, call: Call, status: int, data: bytes, phase: Phase, at: float) -> None:
        if status < 200:
            return
        if b" BYE\r\n" in data:
            if call.state == "leaving":
                call.phase.bye_ms.append((time.perf_counter() - call.bye_at) * 1000)
                self._completed(call, phase, lost=status != 200)
            return
        if call.state != "inviting":
            if status == 200:
                self._send(self._request(call, b"ACK", 1))
            return
        call.to = b"To:" + _between(data, b"\r\nTo:", b"\r\n")
        if status == 200:
            call.state = "talking"
        self._send(self._request(call, b"ACK", 1))
        if status == 200:
            call.phase.answered += 1
            heapq.heappush(self._due, (time.perf_counter() + self._hold, call.number, "talking", 0.0))
            return
        del self._calls[call.number]
        phase.last_trouble = at
        if status == 503:
            call.phase.refused += 1
            call.phase.refusal_ms.append((time.perf_counter() - call.asked) * 1000)
        else:
            call.phase.failed += 1

    def _completed(self, call: Call, phase: Phase, *, lost: bool = False) -> None:
        del self._calls[call.number]
        if lost:
            call.phase.byes_lost += 1
            return
        call.phase.completed += 1
        if self._now is phase:
            phase.completed_meanwhile += 1

    # -- timers

    def _run_timers(self, phase: Phase, start: float) -> None:
        now = time.perf_counter()
        while self._due and self._due[0][0] <= now:
            _, number, state, pause = heapq.heappop(self._due)
            call = self._calls.get(number)
            if call is None or call.state != state:
                continue
            if state == "talking":
                self._bye(call)
            elif now - (call.bye_at or call.began) > PATIENCE:
                self._give_up(call, phase, now - start)
            else:
                call.asked = now
                method, cseq, body = (b"BYE", 2, b"") if call.bye_at else (b"INVITE", 1, _SDP)
                self._send(self._request(call, method, cseq, body))
                heapq.heappush(self._due, (now + min(pause * 2, 4.0), number, state, pause * 2))

    def _give_up(self, call: Call, phase: Phase, at: float) -> None:
        del self._calls[call.number]
        if call.bye_at:
            call.phase.byes_lost += 1
        else:
            call.phase.failed += 1
            phase.last_trouble = at


def _between(data: bytes, before: bytes, after: bytes) -> bytes:
    start = data.find(before)
    if start < 0:
        return b""
    start += len(before)
    return data[start : data.find(after, start)]


def main() -> int:
    port, user, hold, *phases = sys.argv[1:]
    load = Load(int(port), user, float(hold))
    done = []
    for each in phases:
        rate, _, seconds = each.partition(":")
        done.append(load.run(float(rate), float(seconds)))
    load.settle(done[-1])
    for phase in done:
        print(json.dumps(asdict(phase)), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
