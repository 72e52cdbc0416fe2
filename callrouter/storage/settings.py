"""Where state is kept."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field


class Settings(BaseModel):
    """Storage: the data directory, the database and the journal."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    data_directory: Path = Field(
        default=Path("data"),
        description="Directory for everything the server keeps: database, journal, recordings, caches. "
        "A relative path is relative to the configuration file.",
    )
    database_url: str = Field(
        default="",
        description="SQLAlchemy URL of the database. Empty: an SQLite file in the data directory.",
    )
    busy_seconds: int = Field(
        default=10, ge=1, le=300, description="How long a write waits for another process's lock on SQLite."
    )
    journal_segment_bytes: int = Field(
        default=16 * 1024 * 1024,
        ge=64 * 1024,
        le=1024 * 1024 * 1024,
        description="Size at which the journal starts a new file; files fully in the database are removed.",
    )
    worker: str = Field(
        default="w1",
        pattern=r"^[a-z0-9][a-z0-9-]{0,31}$",
        description="Name of this worker among those that share a database.",
    )

    @property
    def url(self) -> str:
        """The database's URL with the default filled in."""
        return self.database_url or f"sqlite:///{self.data_directory / 'callrouter.db'}"

    @property
    def journal_directory(self) -> Path:
        """Every worker keeps a journal of its own."""
        return self.data_directory / "journal" / self.worker
