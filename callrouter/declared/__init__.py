"""The state that config.yaml declares, and how it gets into the database."""
