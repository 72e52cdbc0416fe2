"""What an operator can say about certificates."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr


class Certificate(BaseModel):
    """One certificate of ours."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    certificate: Path = Field(description="PEM file: the certificate, then those that lead to its authority.")
    key: Path = Field(description="PEM file with its private key; may be the same file.")
    key_password: SecretStr = Field(
        default=SecretStr(""), description="Password of the key file; empty = none."
    )


class Tls(BaseModel):
    """Certificates, ours and those we trust."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    certificates: tuple[Certificate, ...] = Field(
        default=(),
        description="Certificates to show, chosen by the name a client asks for (SNI) among the names in "
        "them; the first one for other names, and to servers that ask for ours.  Files that change are read "
        "again, for new connections, without closing any.",
    )
    trusted: Path | None = Field(
        default=None,
        description="PEM file of the authorities whose certificates are believed; empty = the system's.",
    )
    minimum_version: Literal["1.2", "1.3"] = Field(
        default="1.2", description="Oldest version of TLS to speak."
    )
    verify_servers: bool = Field(
        default=True,
        description="Only call servers whose certificate is believed and has the name that was called.",
    )
