"""TLS of one server: its contexts, certificates by name, their renewal, and the ASGI extension.

This module accepts no connections; the code that does takes `TLS.context` for each of them.
"""

from __future__ import annotations

import datetime
import logging
import os
import ssl
import weakref
from typing import TYPE_CHECKING, Any

from asgiserver.errors import ConfigError
from asgiserver.server.certificates import expiry, subject_name

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from asgiserver.config.fields import Config

__all__ = ["TLS", "failure_reason"]

logger = logging.getLogger("asgiserver")

WATCH_INTERVAL = 30.0
"""Seconds between two looks at the files of certificates and keys."""

EXPIRY_NOTICE = datetime.timedelta(days=14)
"""The log warns once a day of a certificate that expires within this time."""

NEVER = 9999
"""The year in which a certificate that nobody knows expires."""

_VERSIONS = {"TLSv1": 0x0301, "TLSv1.1": 0x0302, "TLSv1.2": 0x0303, "TLSv1.3": 0x0304}
_MINIMUM = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}

# The mistakes that people make, by OpenSSL's names.
_NO_TLS = "no TLS on a TLS port"
_FAILURES = {
    "HTTP_REQUEST": "plain HTTP on a TLS port; use https",
    "HTTPS_PROXY_REQUEST": "plain HTTP on a TLS port; use https",
    "WRONG_VERSION_NUMBER": _NO_TLS,
    "PACKET_LENGTH_TOO_LONG": _NO_TLS,
    "RECORD_LAYER_FAILURE": _NO_TLS,
    "UNSUPPORTED_PROTOCOL": "TLS version too old",
    "VERSION_TOO_LOW": "TLS version too old",
    "NO_SHARED_CIPHER": "no TLS cipher in common",
    "PEER_DID_NOT_RETURN_A_CERTIFICATE": "no client certificate",
    "CERTIFICATE_VERIFY_FAILED": "client certificate is not accepted",
    "TLSV1_ALERT_UNKNOWN_CA": "the client does not trust the server's certificate",
    "SSLV3_ALERT_BAD_CERTIFICATE": "the client does not trust the server's certificate",
    "SSLV3_ALERT_CERTIFICATE_UNKNOWN": "the client does not trust the server's certificate",
}


def failure_reason(error: BaseException) -> str | None:
    """Why a handshake failed, for the log; None when the client only went away."""
    if isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError):
        return None
    if isinstance(error, ssl.SSLError):
        return _FAILURES.get(error.reason or "", "TLS handshake failed")
    if isinstance(error, ConnectionAbortedError | TimeoutError):
        return "TLS handshake timed out"
    return None


class TLS:
    """The current contexts of a server. Raises `ConfigError` when they cannot be made.

    `context` is replaced, never changed: connections keep what they began with.
    """

    def __init__(self, config: Config, alpn: Sequence[str] = ("http/1.1",)) -> None:
        self._config = config
        self._alpn = alpn  # protocols offered (RFC 7301)
        self._ciphers: dict[str, int] = {}  # IANA's numbers of cipher suites by OpenSSL's names
        # The certificate that each context presents, PEM. An old context lives as long as its
        # connections.
        self._certificates: weakref.WeakKeyDictionary[ssl.SSLContext, str] = (
            weakref.WeakKeyDictionary()
        )
        self._seen = self._stat()
        self._next_look = 0.0
        self._next_notice = datetime.datetime.min.replace(tzinfo=datetime.UTC)
        self._expiries: dict[str, datetime.datetime] = {}
        self.context = self._load()

    def __repr__(self) -> str:
        return f"<TLS {' '.join(self._expiries)}>"

    # Loading ----------------------------------------------------------------------------------

    def _load(self) -> ssl.SSLContext:
        """Make new contexts for all names, and try each one. Returns the default context."""
        config = self._config
        by_name: dict[str, ssl.SSLContext] = {}
        expiries: dict[str, datetime.datetime] = {}
        for spec in config.ssl_sni:
            name, _, files = spec.partition("=")
            certfile, _, keyfile = files.partition(":")
            by_name[name.lower()] = made = make_context(
                config, certfile, keyfile, "ssl_sni", self._alpn
            )
            expiries[name.lower()] = self._inspect(made)
        if config.ssl_context_factory is not None:
            context = config.ssl_context_factory(config, lambda: self._default_context())
            if not isinstance(context, ssl.SSLContext):
                raise ConfigError("ssl_context_factory must return an ssl.SSLContext")
        elif config.ssl_certfile:
            context = self._default_context()
        else:
            context = next(iter(by_name.values()))
        if context not in self._certificates:
            expiries["default"] = self._inspect(context)
        if by_name and context.sni_callback is None:
            context.sni_callback = _select(by_name)
        self._check_expiry(expiries)
        return context

    def _default_context(self) -> ssl.SSLContext:
        config = self._config
        if not config.ssl_certfile:
            raise ConfigError("TLS needs a certificate; give ssl_certfile and ssl_keyfile")
        return make_context(
            config, config.ssl_certfile, config.ssl_keyfile, "ssl_certfile", self._alpn
        )

    def _inspect(self, context: ssl.SSLContext) -> datetime.datetime:
        """Try a context, note the certificate it presents, and return when that expires."""
        der = presented_certificate(context)
        if der is None:
            return datetime.datetime(NEVER, 1, 1, tzinfo=datetime.UTC)
        self._certificates[context] = ssl.DER_cert_to_PEM_cert(der)
        return expiry(der)

    def _check_expiry(self, expiries: dict[str, datetime.datetime]) -> None:
        """Raise `ConfigError` when an expired certificate would replace one that is valid."""
        now = datetime.datetime.now(datetime.UTC)
        for name, end in expiries.items():
            if end <= now < self._expiries.get(name, now):
                raise ConfigError(f"the new certificate ({name}) has expired on {end:%Y-%m-%d}")
        self._expiries = expiries
        for name, end in expiries.items():
            logger.info("TLS certificate (%s) is valid until %s", name, f"{end:%Y-%m-%d %H:%M} UTC")
        self._next_notice = now
        self._notice_expiry()

    def expiries(self) -> dict[str, float]:
        """When each certificate expires, by its name, in seconds since 1970."""
        known = {name: end for name, end in self._expiries.items() if end.year < NEVER}
        return {name: end.timestamp() for name, end in known.items()}

    def _notice_expiry(self) -> None:
        """Warn, once a day, of certificates that expire soon."""
        now = datetime.datetime.now(datetime.UTC)
        if now < self._next_notice:
            return
        self._next_notice = now + datetime.timedelta(days=1)
        for name, end in self._expiries.items():
            if end <= now:
                logger.error("TLS certificate (%s) has expired on %s", name, f"{end:%Y-%m-%d}")
            elif end - now < EXPIRY_NOTICE:
                days = (end - now).days
                logger.warning("TLS certificate (%s) expires in %d days", name, days)

    # Renewal ----------------------------------------------------------------------------------

    def on_tick(self, now: float) -> None:
        """Look at the files every `WATCH_INTERVAL`; `now` is seconds of a monotonic clock."""
        if now < self._next_look:
            return
        self._next_look = now + WATCH_INTERVAL
        self._notice_expiry()
        if self._stat() != self._seen:
            self.reload()

    def reload(self) -> bool:
        """Read certificates and keys again; True when new connections now get them.

        On any error the old ones stay.
        """
        self._seen = self._stat()  # before reading, so that a file written meanwhile is a change
        try:
            self.context = self._load()
        except Exception as error:  # a context factory may raise anything
            logger.error("TLS certificates are not reloaded, the old ones stay: %s", error)
            return False
        logger.info("TLS certificates reloaded")
        return True

    def _stat(self) -> list[tuple[int, int, int] | None]:
        config = self._config
        files = [config.ssl_certfile, config.ssl_keyfile, config.ssl_ca_certs]
        for spec in config.ssl_sni:
            files += spec.partition("=")[2].split(":")
        return [_identity(file) for file in files if file]

    # The ASGI extension -----------------------------------------------------------------------

    def extension(self, ssl_object: Any) -> dict[str, Any]:
        """The ASGI ``tls`` extension of a connection (`ssl.SSLObject`, or an object like it)."""
        context = ssl_object.context
        certificate = self._certificates.get(context)
        if certificate is None:  # the SNI callback of a context factory has chosen the context
            self._inspect(context)
            certificate = self._certificates.get(context)
        name = ssl_object.cipher()[0]
        if name not in self._ciphers:
            ciphers = context.get_ciphers()
            self._ciphers |= {cipher["name"]: cipher["id"] & 0xFFFF for cipher in ciphers}
        chain = client_chain(ssl_object)
        return {
            "server_cert": certificate,
            "client_cert_chain": [ssl.DER_cert_to_PEM_cert(der) for der in chain],
            "client_cert_name": subject_name(chain[0]) if chain else None,
            "client_cert_error": None,  # with an error OpenSSL would have ended the handshake
            "tls_version": _VERSIONS.get(ssl_object.version()),
            "cipher_suite": self._ciphers.get(name),
        }


def client_chain(ssl_object: ssl.SSLObject) -> list[bytes]:
    """The client's certificate, then those of its verified chain that the client sent, DER.

    Before Python 3.13, and in a resumed session, only the client's certificate is known.
    """
    leaf = ssl_object.getpeercert(True)
    if leaf is None:
        return []
    if not (
        hasattr(ssl_object, "get_verified_chain") and hasattr(ssl_object, "get_unverified_chain")
    ):
        return [leaf]
    sent = set(ssl_object.get_unverified_chain())
    return [der for der in ssl_object.get_verified_chain() if der in sent] or [leaf]


def make_context(
    config: Config, certfile: str, keyfile: str | None, option: str, alpn: Sequence[str]
) -> ssl.SSLContext:
    """A context for one certificate. Raises `ConfigError`; `option` is named in its text."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = _MINIMUM[config.ssl_min_version]
    context.options |= ssl.OP_NO_RENEGOTIATION  # renegotiation lets a client keep the server busy
    context.set_alpn_protocols(alpn)
    try:
        # A callback is given in any case, because without one OpenSSL asks at the terminal.
        password = config.ssl_keyfile_password or ""
        context.load_cert_chain(certfile, keyfile or None, lambda: password)
    except OSError as error:
        given = [certfile, keyfile] if keyfile else [certfile]
        files = " and ".join([name for name in given if not os.path.exists(name)] or given)
        raise ConfigError(f"{option}: cannot use {files}: {_describe(error)}") from error
    context.verify_mode = ssl.VerifyMode(config.ssl_cert_reqs)
    if config.ssl_ca_certs:
        try:
            context.load_verify_locations(config.ssl_ca_certs)
        except OSError as error:
            raise ConfigError(
                f"ssl_ca_certs: cannot use {config.ssl_ca_certs}: {_describe(error)}"
            ) from error
    if config.ssl_ciphers:
        try:
            context.set_ciphers(config.ssl_ciphers)
        except ssl.SSLError as error:
            raise ConfigError(f"ssl_ciphers: no such cipher in {config.ssl_ciphers!r}") from error
    return context


def _describe(error: OSError) -> str:
    if not isinstance(error, ssl.SSLError):
        return error.strerror or str(error)
    if error.reason == "KEY_VALUES_MISMATCH":
        return "the key is not that of the certificate"
    if error.reason in ("BAD_DECRYPT", "BAD_PASSWORD_READ"):
        return "the password of the key is wrong or missing (ssl_keyfile_password)"
    if error.reason in ("PEM_LIB", "NO_START_LINE", None) or error.library == "PEM":
        return "no PEM certificate, or no PEM key (its password may be wrong)"
    return error.reason.replace("_", " ").lower()


def _select(
    by_name: dict[str, ssl.SSLContext],
) -> Callable[[ssl.SSLObject, str | None, ssl.SSLContext], None]:
    """The callback that finds the context of a server name; one ``*`` stands for one label."""

    def select(ssl_object: ssl.SSLObject, name: str | None, _: ssl.SSLContext) -> None:
        if name:
            name = name.lower()
            found = by_name.get(name) or by_name.get("*." + name.partition(".")[2])
            if found is not None:
                ssl_object.context = found

    return select


def presented_certificate(context: ssl.SSLContext) -> bytes | None:
    """The certificate, DER, that a client without a server name gets in a handshake in memory.

    Raises `ConfigError` when a handshake cannot succeed. None when the client does not get to see
    the certificate, because it would have to present its own first.
    """
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = False
    client.verify_mode = ssl.CERT_NONE
    upstream, downstream = ssl.MemoryBIO(), ssl.MemoryBIO()
    ours = context.wrap_bio(upstream, downstream, server_side=True)
    theirs = client.wrap_bio(downstream, upstream)
    try:
        for side in (theirs, ours, theirs, ours, theirs):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                pass
    except ssl.SSLError as error:
        if context.verify_mode != ssl.CERT_REQUIRED:
            raise ConfigError(f"TLS does not work with this certificate: {error}") from error
    try:
        return theirs.getpeercert(True)
    except ValueError:  # the handshake did not get as far as the certificate
        return None


def _identity(file: str) -> tuple[int, int, int] | None:
    try:
        status = os.stat(file)
    except OSError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns
