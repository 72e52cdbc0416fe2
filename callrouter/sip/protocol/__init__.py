"""PURE: bytes and `now` in, bytes and events out (RFC 3261 and its relatives)."""
