"""The certificate that browsers are shown: made for this process, known by its fingerprint."""

from __future__ import annotations

import datetime
from dataclasses import dataclass, field

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

_DAYS = 3650
"""Nobody looks at it: the fingerprint is what is believed (RFC 8122)."""


@dataclass(frozen=True, slots=True)
class Certificate:
    certificate: bytes
    """DER."""
    private_key: bytes = field(repr=False)
    """PKCS #8, DER."""
    fingerprint: str
    """As `a=fingerprint` has it: `sha-256 AB:CD…`."""


def make_certificate() -> Certificate:
    """Self-signed ECDSA over P-256, as RFC 8827 §6.5 asks; names nobody."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "callrouter")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=_DAYS))
        .sign(key, hashes.SHA256())
    )
    encoded = key.private_bytes(
        serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    digest = certificate.fingerprint(hashes.SHA256()).hex(":").upper()
    return Certificate(certificate.public_bytes(serialization.Encoding.DER), encoded, f"sha-256 {digest}")
