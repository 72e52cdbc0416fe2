"""The built-in modules."""
