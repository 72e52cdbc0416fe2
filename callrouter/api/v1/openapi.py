"""The OpenAPI 3.1 description of the native API and of the paths for machines that watch the server.

Tests hold it to the routes that exist and to the answers they give.
"""

from __future__ import annotations

from typing import Any, Final

from callrouter import __version__
from metering.interval import Cause, Mode

Schema = dict[str, Any]

_TIME: Final[Schema] = {
    "type": "string",
    "format": "date-time",
    "description": "UTC with milliseconds",
    "examples": ["2026-01-31T12:34:56.789Z"],
}
_MONEY: Final[Schema] = {
    "type": "string",
    "pattern": r"^-?\d+\.\d{3,6}$",
    "description": "Exact decimal, never a float",
    "examples": ["0.062"],
}
_CALL_SID: Final[Schema] = {"type": "string", "pattern": "^CA[0-9a-fA-F]{32}$"}
_CURRENCY: Final[Schema] = {"type": "string", "pattern": "^[A-Z]{3}$", "description": "ISO 4217"}
_MS: Final[Schema] = {"type": "integer", "minimum": 0, "description": "Milliseconds"}


def description() -> Schema:
    """The whole document."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "callrouter",
            "version": __version__,
            "summary": "What calls did, interval by interval, and what that cost",
            "description": "The native API. Calls are made and changed through the compatible API under "
            "/2010-04-01. Money is decimal text with its currency, times are RFC 3339, errors are problem "
            "details (RFC 9457).",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "security": [{"account": []}],
        "paths": {
            "/v1/sessions/{sid}": {"get": _session()},
            "/v1/sessions/{sid}/sip": {"get": _sip()},
            "/v1/calls/{sid}/transfer-tokens": {"post": _transfer_token()},
            "/v1/trunks": {"get": _trunks()},
            "/v1/usage": {"get": _usage()},
            "/v1/openapi.json": {"get": _open("openapi", "This document", _json({"type": "object"}))},
            "/healthz": {"get": _open("healthz", "Whether the server is alive", _json(_ref("Health")))},
            "/readyz": {"get": _ready()},
            "/metrics": {"get": _open("metrics", "Figures for Prometheus", _text())},
        },
        "components": {
            "securitySchemes": {
                "account": {
                    "type": "http",
                    "scheme": "basic",
                    "description": "Sid and token of an account, or of one of its keys. An account sees what "
                    "belongs to it and to the accounts below it.",
                }
            },
            "responses": {
                name: {
                    "description": text,
                    "content": {"application/problem+json": {"schema": _ref("Problem")}},
                }
                for name, text in _PROBLEMS.items()
            },
            "schemas": {
                "Session": _object(_SESSION),
                "Call": _object(_CALL),
                "Interval": _object(_INTERVAL),
                "SipTrace": _object(_SIP_TRACE),
                "SipMessage": _object(_SIP_MESSAGE),
                "TransferOrder": _object(_TRANSFER_ORDER, optional={"seconds"}),
                "TransferToken": _object(_TRANSFER_TOKEN),
                "Trunks": _object({"trunks": _list("Trunk")}),
                "Trunk": _object(_TRUNK),
                "Gateway": _object(_GATEWAY),
                "Registration": _object(_REGISTRATION),
                "Usage": _object(_USAGE),
                "UsageRow": _object(_USAGE_ROW),
                "Cost": _object({"amount": _MONEY, "currency": _CURRENCY}),
                "Problem": _object(_PROBLEM),
                "Health": _object(_HEALTH, optional={"reasons"}),
            },
        },
    }


_PROBLEMS: Final = {
    "BadRequest": "A parameter is wrong; `detail` says which and what it should be",
    "Unauthenticated": "No credentials, or wrong ones",
    "Forbidden": "The account stands under another one",
    "NotFound": "There is none, or it belongs to an account that is not the caller's",
    "Over": "The call is over, or an earlier request with this `Idempotency-Key` has no answer (yet)",
    "OtherRequest": "The `Idempotency-Key` was used for another request",
    "TooManyAttempts": "Too many wrong passwords; `Retry-After` says when to come back",
}


def _session() -> Schema:
    return {
        "operationId": "session",
        "summary": "What a session did, and what it costs to this instant",
        "description": "The calls of a session, the root first. The intervals of a call partition its life "
        "from INVITE to end, without gap or overlap; `complete` says whether they do. Their costs add up "
        "to the call's, the calls' to the session's. A dialled call that got instructions of its own "
        "is shown here as far as it belonged to this session, and has a session of its own (`split_from`).",
        "parameters": [_SESSION_SID],
        "responses": {"200": _json(_ref("Session")), "404": _response("NotFound"), **_REFUSED},
    }


def _sip() -> Schema:
    ladder = {"schema": {"type": "string"}}
    answer = _json(_ref("SipTrace"))
    answer["content"]["text/plain"] = ladder
    return {
        "operationId": "sip",
        "summary": "What was said in SIP on the calls of a session",
        "description": "As data, or with `Accept: text/plain` as a ladder. Messages are kept in memory for a "
        "while, with their bodies; credentials and keys in them are masked.",
        "parameters": [
            _SESSION_SID,
            _query("after", "Only messages numbered above this", {"type": "integer", "minimum": 0}),
            _query("full", "With text/plain: the messages themselves below the ladder", {"type": "string"}),
        ],
        "responses": {
            "200": answer,
            "400": _response("BadRequest"),
            "404": _response("NotFound"),
            **_REFUSED,
        },
    }


def _transfer_token() -> Schema:
    return {
        "operationId": "transferToken",
        "summary": "Let a party of a call move it by a SIP message",
        "description": "The token is good for this call and this target, once, until it expires. Whoever has "
        "it sends it on a leg of the call's session, in a REFER or INFO.",
        "parameters": [{**_SESSION_SID, "description": "Of the call, which is live"}, _IDEMPOTENCY_KEY],
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": _ref("TransferOrder")}},
        },
        "responses": {
            "201": _json(_ref("TransferToken"), "Made"),
            "400": _response("BadRequest"),
            "404": _response("NotFound"),
            "409": _response("Over"),
            "422": _response("OtherRequest"),
            **_REFUSED,
        },
    }


def _trunks() -> Schema:
    return {
        "operationId": "trunks",
        "summary": "How the carriers are doing",
        "description": "Which gateways answer, since when and why, and where the server is registered. "
        "Carriers serve every account, so only accounts that stand under no other see them.",
        "responses": {"200": _json(_ref("Trunks")), "403": _response("Forbidden"), **_REFUSED},
    }


def _usage() -> Schema:
    period = "RFC 3339 or a date; UTC where no offset is given. Default: "
    return {
        "operationId": "usage",
        "summary": "Time and money by number, module and mode",
        "description": "Time within the period counts, running calls included to this instant. Money is not "
        "split: a charge, or what a running call costs by now, belongs to the period in which what it "
        "is for began.",
        "parameters": [
            _query("number", "Only what was metered to this number", {"type": "string"}),
            _query("from", f"{period}the first of the month", {"type": "string"}),
            _query("to", f"{period}now", {"type": "string"}),
        ],
        "responses": {"200": _json(_ref("Usage")), "400": _response("BadRequest"), **_REFUSED},
    }


def _ready() -> Schema:
    operation = _open("readyz", "Whether calls may come", _json(_ref("Health")))
    operation["responses"]["503"] = _json(_ref("Health"), "They may not; the reasons say why")
    return operation


_IDEMPOTENCY_KEY: Final[Schema] = {
    "name": "Idempotency-Key",
    "in": "header",
    "description": "A request that is sent again with the same key is answered as the first was, and not "
    "done again",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"},
}


def _open(identity: str, summary: str, answer: Schema) -> Schema:
    return {"operationId": identity, "summary": summary, "security": [], "responses": {"200": answer}}


def _query(name: str, text: str, schema: Schema) -> Schema:
    return {"name": name, "in": "query", "description": text, "schema": schema}


def _json(schema: Schema, text: str = "OK") -> Schema:
    return {"description": text, "content": {"application/json": {"schema": schema}}}


def _text() -> Schema:
    return {"description": "OK", "content": {"text/plain": {"schema": {"type": "string"}}}}


def _ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def _response(name: str) -> Schema:
    return {"$ref": f"#/components/responses/{name}"}


def _object(properties: Schema, optional: set[str] | None = None) -> Schema:
    return {
        "type": "object",
        "properties": properties,
        "required": [name for name in properties if name not in (optional or ())],
        "additionalProperties": False,
    }


def _list(name: str) -> Schema:
    return {"type": "array", "items": _ref(name)}


def _or_null(schema: Schema, text: str = "") -> Schema:
    return {**schema, "type": [schema["type"], "null"], **({"description": text} if text else {})}


def _said(text: str, **more: Any) -> Schema:
    return {"type": "string", "description": text, **more}


_SESSION_SID: Final[Schema] = {
    "name": "sid",
    "in": "path",
    "required": True,
    "description": "Of the session's first call",
    "schema": _CALL_SID,
}
_REFUSED: Final[Schema] = {"401": _response("Unauthenticated"), "429": _response("TooManyAttempts")}

_SESSION: Final[Schema] = {
    "sid": _CALL_SID,
    "account_sid": _said("Of the root call"),
    "key_number": _said("What the root call is metered to"),
    "status": {"enum": ["running", "ended"]},
    "started_at": _TIME,
    "ended_at": _or_null(_TIME),
    "costs": _list("Cost"),
    "calls": _list("Call"),
}
_CALL: Final[Schema] = {
    "sid": _CALL_SID,
    "parent_sid": _or_null(_CALL_SID, "The call that dialled this one"),
    "split_from": _or_null(_CALL_SID, "The session it left when it got instructions of its own"),
    "linked_sid": _or_null(_CALL_SID, "The call at its other end, of a session of its own on this server"),
    "driven_by": _or_null(_CALL_SID, "The parent whose verb drives it; rated zero unless the plan says else"),
    "account_sid": _said("Whose call it is"),
    "key_number": _said("What it is metered to"),
    "direction": _or_null(_said("inbound, outbound-api or outbound-dial")),
    "from": _or_null(_said("Who called")),
    "to": _or_null(_said("Who was called")),
    "status": _or_null(_said("As in the compatible API")),
    "sip_status": _or_null({"type": "integer"}, "The final answer of SIP to its INVITE"),
    "q850": _or_null({"type": "integer"}, "Cause of ITU-T Q.850 that its far end gave for the end"),
    "complete": {"type": "boolean", "description": "Its track partitions the call: no gap, no overlap"},
    "costs": _list("Cost"),
    "intervals": _list("Interval"),
}
_INTERVAL: Final[Schema] = {
    "sequence": {"type": "integer", "minimum": 0, "description": "Its place in the call's whole track"},
    "module": _said("Identity code of who was in control, `owner.name`"),
    "owner": _said("Who is paid for it"),
    "mode": {"enum": [mode.value for mode in Mode]},
    "instance": _or_null(_said("Instance within the container application")),
    "application": _or_null(_said("Container application")),
    "via": _or_null(_said("The module that dialled, where the bridge is in control")),
    "on_behalf_of": _or_null(_said("The account that ordered the document, and pays for it")),
    "driven_by": _or_null(_CALL_SID, "The parent whose verb drove the call then"),
    "started_at": _TIME,
    "ended_at": _or_null(_TIME),
    "duration_ms": _MS,
    "running": {"type": "boolean"},
    "cause": {"enum": [cause.value for cause in Cause], "description": "Why it began"},
    "end_cause": {"enum": [*(cause.value for cause in Cause), None], "description": "Why it ended"},
    "estimated": {"type": "boolean", "description": "Closed at the last sign of life after a crash"},
    "rate": _said("The price that applied, in words", examples=["0.06 USD/min", "free"]),
    "cost": _MONEY,
    "currency": _or_null(_CURRENCY, "null where nothing is priced"),
}
_TRUNK: Final[Schema] = {
    "name": _said("As in `sip.trunks`"),
    "gateways": _list("Gateway"),
    "registration": {
        "oneOf": [_ref("Registration"), {"type": "null"}],
        "description": "null: none is wanted",
    },
}
_GATEWAY: Final[Schema] = {
    "host": _said("Address or name"),
    "port": _or_null({"type": "integer"}, "null: what the DNS says, or the transport's own"),
    "transport": _or_null(_said("udp, tcp or tls"), "null: what the DNS says"),
    "watched": {"type": "boolean", "description": "Asked with OPTIONS; otherwise it counts as up"},
    "up": {"type": "boolean"},
    "since": _TIME,
    "reason": _or_null(_said("What changed it"), "null where nothing has yet"),
}
_REGISTRATION: Final[Schema] = {
    "state": {"enum": ["trying", "registered", "failed"], "description": "Failed ones are tried again"},
    "since": _TIME,
    "detail": _or_null(_said("For how long, or why not")),
}
_SIP_TRACE: Final[Schema] = {
    "sid": _CALL_SID,
    "status": {"enum": ["running", "ended"]},
    "messages": _list("SipMessage"),
    "dropped": {"type": "integer", "minimum": 0, "description": "Messages there was no room for"},
}
_SIP_MESSAGE: Final[Schema] = {
    "number": {"type": "integer", "minimum": 1, "description": "Rises with every message of the server"},
    "at": _TIME,
    "at_ns": {"type": "integer", "description": "Monotonic nanoseconds, for differences"},
    "call_sid": _CALL_SID,
    "call_id": _said("Call-ID"),
    "direction": {"enum": ["received", "sent"]},
    "transport": {"enum": ["udp", "tcp", "tls", "ws", "wss"]},
    "peer": _said("Address and port of the other end"),
    "method": _said("Of the request, or of the one that is answered"),
    "summary": _said("In a few words", examples=["INVITE (SDP)", "180 Ringing", "200 OK to BYE"]),
    "text": _said("The message, secrets masked"),
}
_TRANSFER_ORDER: Final[Schema] = {
    "target": _said("URI that control is to pass to", examples=["module:acme.survey?lang=en"]),
    "seconds": {"type": "integer", "minimum": 1, "maximum": 14400, "default": 300},
}
_TRANSFER_TOKEN: Final[Schema] = {
    "call_sid": _CALL_SID,
    "target": _said("As it was asked for; the SIP message has to say it exactly so"),
    "token": _said("To be kept secret from whoever is not to move the call"),
    "expires_at": _TIME,
}
_USAGE: Final[Schema] = {
    "from": _TIME,
    "to": _TIME,
    "number": _or_null(_said("The number asked for")),
    "usage": _list("UsageRow"),
}
_USAGE_ROW: Final[Schema] = {
    "number": _said("What it was metered to"),
    "module": _said("Identity code, `owner.name`"),
    "owner": _said("Who is paid for it"),
    "mode": {"enum": [mode.value for mode in Mode]},
    "calls": {"type": "integer", "minimum": 0},
    "intervals": {"type": "integer", "minimum": 0},
    "duration_ms": _MS,
    "costs": _list("Cost"),
}
_PROBLEM: Final[Schema] = {
    "type": _said("`about:blank`"),
    "title": _said("The status in words"),
    "status": {"type": "integer"},
    "detail": _said("What was wrong, and what to do"),
}
_HEALTH: Final[Schema] = {
    "status": {"enum": ["ok", "ready", "degraded", "not ready"]},
    "reasons": {"type": "array", "items": {"type": "string"}},
}
