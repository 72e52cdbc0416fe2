"""The native API: sessions, usage, SIP traces."""
