"""Tables of the calls room.  Times are UTC milliseconds; absent ones are NULL."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, Integer, String, Table, Text

from callrouter.storage.database import metadata

QUALITY = (
    "packets_in",
    "packets_out",
    "packets_lost",
    "packets_lost_out",
    "jitter_us",
    "round_trip_us",
    "r_factor_x100",
    "mos_x100",
    "mos_out_x100",
)
"""Columns of `calls` with what its audio was like, known a moment after its end; NULL until then,
and where nothing was measured."""

calls = Table(
    "calls",
    metadata,
    Column("sid", String(34), primary_key=True),
    Column("account_sid", String(34), nullable=False),
    Column("parent_sid", String(34), nullable=False, default=""),
    Column("session_sid", String(34), nullable=False),
    Column("split_from", String(34), nullable=False, default=""),
    Column("linked_sid", String(34), nullable=False, default=""),
    Column("key_number", String(64), nullable=False),
    Column("direction", String(16), nullable=False),
    Column("from_", String(256), nullable=False),
    Column("to", String(256), nullable=False),
    Column("status", String(16), nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("start_ms", BigInteger),
    Column("answered_ms", BigInteger),
    Column("end_ms", BigInteger),
    Column("updated_ms", BigInteger, nullable=False),
    Column("sip_status", Integer, nullable=False, default=0),
    Column("q850", Integer, nullable=False, default=0),
    Column("sip_call_id", String(256), nullable=False, default=""),
    Column("forwarded_from", String(256), nullable=False, default=""),
    Column("caller_name", String(256), nullable=False, default=""),
    Column("answered_by", String(32), nullable=False, default=""),
    Column("error_code", Integer, nullable=False, default=0),
    Column("end_detail", String(256), nullable=False, default=""),
    Column("worker", String(64), nullable=False, default=""),
    *(Column(name, BigInteger) for name in QUALITY),
    Index("calls_by_account", "account_sid", "created_ms"),
    Index("calls_by_session", "session_sid"),
)

call_events = Table(
    "call_events",
    metadata,
    Column("id", String(34), primary_key=True),
    Column("call_sid", String(34), nullable=False),
    Column("account_sid", String(34), nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    Column("kind", String(16), nullable=False),
    Column("level", String(8), nullable=False),
    Column("code", Integer, nullable=False, default=0),
    Column("message", Text, nullable=False, default=""),
    Column("line", Integer, nullable=False, default=0),
    Column("url", Text, nullable=False, default=""),
    Column("method", String(8), nullable=False, default=""),
    Column("request", Text, nullable=False, default=""),
    Column("status", Integer, nullable=False, default=0),
    Column("response", Text, nullable=False, default=""),
    Column("duration_ms", Integer, nullable=False, default=0),
    Index("call_events_by_call", "call_sid", "at_ms"),
)

recordings = Table(
    "recordings",
    metadata,
    Column("sid", String(34), primary_key=True),
    Column("account_sid", String(34), nullable=False),
    Column("call_sid", String(34), nullable=False),
    Column("source", String(32), nullable=False),
    Column("channels", Integer, nullable=False),
    Column("status", String(16), nullable=False),
    Column("path", Text, nullable=False),
    Column("start_ms", BigInteger, nullable=False),
    Column("duration_ms", BigInteger),
    Column("size_bytes", BigInteger),
    Column("error_code", Integer, nullable=False, default=0),
    Index("recordings_by_call", "call_sid"),
    Index("recordings_by_account", "account_sid", "start_ms"),
)
