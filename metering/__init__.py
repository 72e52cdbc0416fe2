"""Counts who held which call for how long, prices it, and keeps the books."""
