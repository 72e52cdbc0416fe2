"""The header fields that have a structure: one noun per file, each `parse()` and `str()` inverse."""
