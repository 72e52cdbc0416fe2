"""TLS contexts from certificate files, renewed when the files are.

A context is chosen for each new connection, so a renewal reaches the next one and disturbs none.
"""

from __future__ import annotations

import ipaddress
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import structlog
from cryptography import x509

from callrouter.errors import StartupError
from callrouter.sip.tls_settings import Certificate, Tls

log = structlog.get_logger(__name__)

_VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}
_MODES = {
    "none": ssl.CERT_NONE,
    "optional": ssl.CERT_OPTIONAL,
    "required": ssl.CERT_REQUIRED,
}
_CHECK_EVERY_NS = 10**9
"""Files are looked at no more often than this, and only when somebody connects."""

Stamp = tuple[tuple[int, int, int], ...]


class Certificates:
    """`load` before anything else."""

    def __init__(self, settings: Tls) -> None:
        self._settings = settings
        self._servers: dict[str, ssl.SSLContext] = {}
        self._client: ssl.SSLContext | None = None
        self._stamp: Stamp = ()
        self._checked_ns = 0

    def load(self) -> None:
        """Read every file.  Raises `StartupError` naming the one that cannot be used; what was
        loaded before stays in use then."""
        stamp = self._look()
        chosen = [(one, _names(one)) for one in self._settings.certificates]
        servers = {name: self._server(mode, chosen) for name, mode in _MODES.items()} if chosen else {}
        self._servers, self._client, self._stamp = servers, self._for_client(), stamp

    def reload(self) -> bool:
        """Read the files again; False, with a log line, when they cannot be used."""
        try:
            self.load()
        except StartupError as error:
            self._stamp = self._look()  # said once, until they change again
            log.error("sip_certificates_not_reloaded", error=str(error))
            return False
        log.info("sip_certificates_loaded", certificates=len(self._settings.certificates))
        return True

    def renew(self, now_ns: int) -> None:
        """`reload` if a file has changed since."""
        if now_ns - self._checked_ns < _CHECK_EVERY_NS:
            return
        self._checked_ns = now_ns
        if self._look() != self._stamp:
            self.reload()

    def server(self, client_certificates: str) -> ssl.SSLContext:
        """For a connection that comes in; `client_certificates`: `none`, `optional`, `required`."""
        return self._servers[client_certificates]

    def client(self) -> ssl.SSLContext:
        """For a connection that we open."""
        if self._client is None:
            raise RuntimeError("the certificates have not been loaded")
        return self._client

    # -- building

    def _server(
        self, mode: ssl.VerifyMode, chosen: list[tuple[Certificate, frozenset[str]]]
    ) -> ssl.SSLContext:
        """A context of the first certificate that hands over to the one whose name is asked for."""
        contexts = [
            (self._filled(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), one, mode), names) for one, names in chosen
        ]
        by_name = {name: context for context, names in reversed(contexts) for name in names}

        def choose(connection: ssl.SSLObject, asked: str | None, _context: ssl.SSLContext) -> None:
            found = _find(by_name, asked or "")
            if found is not None:
                connection.context = found

        first = contexts[0][0]
        first.sni_callback = choose
        return first

    def _for_client(self) -> ssl.SSLContext:
        own = self._settings.certificates[0] if self._settings.certificates else None
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        if self._settings.verify_servers:
            return self._filled(context, own, ssl.CERT_REQUIRED)
        context.check_hostname = False
        return self._filled(context, own, ssl.CERT_NONE)

    def _filled(
        self, context: ssl.SSLContext, own: Certificate | None, mode: ssl.VerifyMode
    ) -> ssl.SSLContext:
        context.minimum_version = _VERSIONS[self._settings.minimum_version]
        context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
        context.verify_mode = mode
        if own is not None:
            _show(context, own)
        if mode is not ssl.CERT_NONE:
            self._trust(context)
        return context

    def _trust(self, context: ssl.SSLContext) -> None:
        trusted = self._settings.trusted
        if trusted is None:
            context.load_default_certs(
                ssl.Purpose.SERVER_AUTH if context.check_hostname else ssl.Purpose.CLIENT_AUTH
            )
            return
        try:
            context.load_verify_locations(cafile=trusted)
        except (OSError, ValueError) as error:
            raise _unusable(trusted, error, "a PEM file of authorities", "sip.tls.trusted") from error

    def _look(self) -> Stamp:
        files = [path for one in self._settings.certificates for path in (one.certificate, one.key)]
        if self._settings.trusted is not None:
            files.append(self._settings.trusted)
        return tuple(_stat(path) for path in files)


def _show(context: ssl.SSLContext, own: Certificate) -> None:
    try:
        # Never let OpenSSL ask for a password on the terminal.
        context.load_cert_chain(own.certificate, own.key, own.key_password.get_secret_value)
    except (OSError, ValueError) as error:
        wanted = f"a PEM certificate with the key in {own.key}"
        raise _unusable(own.certificate, error, wanted, "sip.tls.certificates") from error


def _names(own: Certificate) -> frozenset[str]:
    """The DNS names of a certificate, in lower case; `*.example.com` as it stands."""
    try:
        certificate = x509.load_pem_x509_certificate(own.certificate.read_bytes())
        extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return frozenset()
    except (OSError, ValueError) as error:
        raise _unusable(own.certificate, error, "a PEM certificate", "sip.tls.certificates") from error
    return frozenset(name.lower() for name in extension.value.get_values_for_type(x509.DNSName))


def _find(by_name: Mapping[str, ssl.SSLContext], asked: str) -> ssl.SSLContext | None:
    asked = asked.lower().rstrip(".")
    return by_name.get(asked) or by_name.get("*." + asked.partition(".")[2])


def _stat(path: Path) -> tuple[int, int, int]:
    try:
        found = path.stat()
    except OSError:
        return (0, 0, 0)
    return (found.st_mtime_ns, found.st_size, found.st_ino)


def _unusable(path: Path, error: Exception, wanted: str, setting: str) -> StartupError:
    reason = getattr(error, "strerror", None) or getattr(error, "reason", None) or str(error)
    return StartupError(f"{path} cannot be used for TLS ({reason}): it must be {wanted}; see `{setting}`")


def identities(certificate: Mapping[str, Any] | None) -> frozenset[str]:
    """Whom a verified certificate (`getpeercert()`) stands for in SIP (RFC 5922 §7.1): domains and
    addresses in lower case.  Wildcards stand for nobody (§7.2)."""
    if not certificate:
        return frozenset()
    found = certificate.get("subjectAltName", ())
    uris = {value[4:].lower() for kind, value in found if kind == "URI" and value[:4].lower() == "sip:"}
    domains = uris or {value.lower() for kind, value in found if kind == "DNS" and "*" not in value}
    addresses = {_address(value) for kind, value in found if kind == "IP Address"}
    return frozenset(name for name in domains if "@" not in name) | addresses


def _address(text: str) -> str:
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        return text.lower()
