"""Runs calls: one controller task per call, and everything a verb may do to a live leg."""
