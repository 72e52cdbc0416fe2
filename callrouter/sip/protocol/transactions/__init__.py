"""Transactions of RFC 3261 §17 as amended by RFC 6026: retransmission, absorption, time-outs.

A transaction is a state, a table and at most three timers.  It hands bytes to its layer and tells
its user, who is the session or the core, what came of them.
"""
