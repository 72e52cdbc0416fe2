"""Decides who is next: targets, numbers, flows and policy."""
