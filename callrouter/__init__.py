"""callrouter: a programmable voice call-control server that meters every module of every call."""

__version__ = "0.1.0"
