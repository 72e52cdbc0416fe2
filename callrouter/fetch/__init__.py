"""Documents, media and callbacks over HTTP: signed, bounded, kept away from private addresses."""
