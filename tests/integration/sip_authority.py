"""A certificate authority for tests, and servers and clients that use it."""

from __future__ import annotations

import datetime
import ipaddress
import ssl
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from callrouter.sip.settings import Listen
from callrouter.sip.tls_settings import Certificate, Tls

NOW = datetime.datetime.now(datetime.UTC)


@dataclass
class Authority:
    """Issues into `folder`; `file` is what those who trust it are given."""

    folder: Path
    common_name: str = "Test Authority"

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, self.common_name)])
        basic = x509.BasicConstraints(ca=True, path_length=None)
        signed = self._builder(self.name, self.key).add_extension(basic, critical=True)
        self.file = self.folder / "authority.pem"
        self.file.write_bytes(signed.sign(self.key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))

    def _builder(self, subject: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self.name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(NOW - datetime.timedelta(days=1))
            .not_valid_after(NOW + datetime.timedelta(days=10))
        )

    def issue(self, file: str, *names: str) -> Certificate:
        """A certificate for DNS names, addresses and `sip:` URIs, with its key in the same file."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0])])
        alternatives = x509.SubjectAlternativeName([_general(name) for name in names])
        signed = self._builder(subject, key).add_extension(alternatives, critical=False)
        path = self.folder / file
        path.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
            + signed.sign(self.key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
        )
        return Certificate(certificate=path, key=path)

    def tls(self, *certificates: Certificate, **settings: object) -> Tls:
        return Tls(certificates=certificates, trusted=self.file, **settings)

    def client(self, own: Certificate | None = None) -> ssl.SSLContext:
        """A client that trusts this authority and shows `own`."""
        context = ssl.create_default_context(cafile=str(self.file))
        if own is not None:
            context.load_cert_chain(own.certificate, own.key)
        return context


def _general(name: str) -> x509.GeneralName:
    if name.startswith("sip:"):
        return x509.UniformResourceIdentifier(name)
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def listens(*transports: str, **settings: object) -> tuple[Listen, ...]:
    return tuple(Listen(port=0, transport=transport, **settings) for transport in transports)
