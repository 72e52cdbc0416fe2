"""PURE: bytes of a call document to elements, typed attributes and findings with line numbers."""
