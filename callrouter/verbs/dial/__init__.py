"""<Dial> and its nouns (docs/verbs.md)."""
