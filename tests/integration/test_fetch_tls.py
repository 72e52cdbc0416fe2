"""Certificates that are fine, and the ways in which they are not."""

from __future__ import annotations

import datetime
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from callrouter.errors import FetchFailed
from callrouter.fetch.client import HttpFetcher
from callrouter.fetch.guard import Guard
from callrouter.fetch.settings import Settings
from callrouter.ports import FetchOrder

NOW = datetime.datetime.now(datetime.UTC)


class Silent:
    def count(self, name: str, amount: float = 1, **labels: str) -> None: ...
    def counter(self, name: str, **labels: str) -> Callable[[], None]:
        return lambda: None

    def observe(self, name: str, value: float, **labels: str) -> None: ...
    def gauge(self, name: str, value: float, **labels: str) -> None: ...


@dataclass
class Authority:
    folder: Path

    def __post_init__(self) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Test Authority")])
        certificate = self._builder(self.name, self.key, days=10).add_extension(
            x509.BasicConstraints(ca=True, path_length=None), critical=True
        )
        self.file = self.folder / "ca.pem"
        self.file.write_bytes(
            certificate.sign(self.key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
        )

    def _builder(
        self, subject: x509.Name, key: ec.EllipticCurvePrivateKey, days: int
    ) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self.name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(NOW - datetime.timedelta(days=30))
            .not_valid_after(NOW + datetime.timedelta(days=days))
        )

    def issue(self, host: str, *, days: int = 10) -> ssl.SSLContext:
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])
        names = x509.SubjectAlternativeName([x509.DNSName(host)])
        certificate = self._builder(subject, key, days).add_extension(names, critical=False)
        signed = certificate.sign(self.key, hashes.SHA256())
        file = self.folder / "server.pem"
        file.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
            + signed.public_bytes(serialization.Encoding.PEM)
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(file)
        return context


@asynccontextmanager
async def serving(context: ssl.SSLContext | None) -> AsyncIterator[int]:
    async def answer(_: web.BaseRequest) -> web.Response:
        return web.Response(body=b"<Response/>", content_type="text/xml")

    runner = web.ServerRunner(web.Server(answer))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context)
    await site.start()
    yield runner.addresses[0][1]
    await runner.cleanup()


async def fetch(tmp_path: Path, port: int, **settings: object) -> int:
    allow = (f"localhost:{port}",)
    chosen = Settings.model_validate({"media_cache_dir": tmp_path, "allow_private": allow, **settings})
    fetcher = HttpFetcher(chosen, Guard(allow), Silent())
    await fetcher.start()
    try:
        document = await fetcher.document(
            FetchOrder(f"https://localhost:{port}/", "POST", (), "s"), fetcher.jar()
        )
        return document.status
    finally:
        await fetcher.stop()


async def test_certificate_of_a_trusted_authority_is_accepted(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    async with serving(authority.issue("localhost")) as port:
        assert await fetch(tmp_path, port, ca_file=authority.file) == 200


async def test_checking_can_be_switched_off(tmp_path: Path) -> None:
    async with serving(Authority(tmp_path).issue("other.example")) as port:
        assert await fetch(tmp_path, port, verify_tls=False) == 200


@pytest.mark.parametrize(
    ("issue", "trusted", "code"),
    [
        (lambda ca: ca.issue("other.example"), True, 11235),
        (lambda ca: ca.issue("localhost", days=-1), True, 11236),
        (lambda ca: ca.issue("localhost"), False, 11237),
        (lambda _: None, True, 11220),
    ],
)
async def test_bad_certificates_and_handshakes_have_a_code_each(
    tmp_path: Path, issue: Callable[[Authority], ssl.SSLContext | None], trusted: bool, code: int
) -> None:
    authority = Authority(tmp_path)
    async with serving(issue(authority)) as port:
        with pytest.raises(FetchFailed) as raised:
            await fetch(tmp_path, port, **({"ca_file": authority.file} if trusted else {}))
    assert raised.value.code == code
