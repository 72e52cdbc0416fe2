"""<Dial> and its nouns (twiml.md §1.4)."""
