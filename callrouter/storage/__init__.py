"""The journal, the database with its one writer, and the outbox."""
