"""Accounts, their addresses, and the secrets that prove who is who."""
