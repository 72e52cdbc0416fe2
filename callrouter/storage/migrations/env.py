"""What Alembic runs: on the connection it is given, in that connection's transaction."""

from __future__ import annotations

from alembic import context

from callrouter.storage.database import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    transactional_ddl=False,  # the transaction is the caller's: all revisions or none
)
context.run_migrations()
