"""Doubles of the ports and a loop with virtual time, for this project's tests and for those of
whoever writes verbs, modules or adapters.  Nothing here is imported by the running server."""
