"""TLS of the HTTP service: the certificate, who must show one, and new files without a restart.

TLS 1.2 at least, no session is resumed (a certificate that was withdrawn must not live on in a
ticket). The files are looked at again when somebody connects, once a second at the most; what
cannot be used (half written, key and certificate of two kinds) is told once and the old goes on.
"""

from __future__ import annotations

import hashlib
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path

from cryptography import x509

from adapters.password_files import first_line

#: Seconds for which the files are believed to be as they were.
LOOK_AGAIN = 1.0


class TlsProblem(Exception):
    """The certificate, its key or the authorities cannot be used; says which and why."""


class ClientAuth(StrEnum):
    """Whether who connects shows a certificate."""

    OFF = "off"
    OPTIONAL = "optional"
    REQUIRED = "required"


_MODES = {
    ClientAuth.OFF: ssl.CERT_NONE,
    ClientAuth.OPTIONAL: ssl.CERT_OPTIONAL,
    ClientAuth.REQUIRED: ssl.CERT_REQUIRED,
}


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """Where everything lies (PEM)."""

    certificate: Path
    key: Path
    #: First line: the password of the key.
    password_file: Path | None = None
    #: Authorities that clients' certificates must come from.
    client_ca: Path | None = None
    client_auth: ClientAuth = ClientAuth.OFF

    @property
    def all(self) -> tuple[Path, ...]:
        """Every file there is."""
        given = (self.certificate, self.key, self.password_file, self.client_ca)
        return tuple(path for path in given if path is not None)


_State = tuple[tuple[int, int, int], ...]
#: Told after a look at changed files: None when they are in use now, else why not.
Told = Callable[[TlsProblem | None], None]


class ServerTls:
    """The context of a server whose files may be replaced while it runs."""

    def __init__(self, files: TlsFiles, told: Told = lambda _: None) -> None:
        """Raises `TlsProblem`."""
        self._files = files
        self._told = told
        self._seen: _State | str = _state(files)
        self._looked = time.monotonic()
        #: Stays the same; what it answers with is always the newest.
        self.context = self._newest = _context(files)
        self.context.sni_callback = self._choose

    def _choose(
        self, connection: ssl.SSLSocket | ssl.SSLObject, _name: str | None, _: ssl.SSLContext
    ) -> None:
        """Called in every handshake, with or without a server name."""
        self.refresh()
        connection.context = self._newest

    def refresh(self) -> None:
        """Read the files again if they changed and a second has gone by."""
        now = time.monotonic()
        if now - self._looked < LOOK_AGAIN:
            return
        self._looked = now
        try:
            if not self._changed():
                return
            self._newest = _context(self._files)
        except TlsProblem as problem:
            self._told(problem)
        else:
            self._told(None)

    def _changed(self) -> bool:
        """Whether the files are not what they were at the last look.

        Raises `TlsProblem` the first time that one is missing.
        """
        before = self._seen
        try:
            self._seen = _state(self._files)
        except TlsProblem as problem:
            self._seen = str(problem)
            if self._seen != before:
                raise
        return self._seen != before


def _state(files: TlsFiles) -> _State:
    """Changes when any of the files does."""
    try:
        stats = [path.stat() for path in files.all]
    except OSError as error:
        raise TlsProblem(f"{error.filename}: {error.strerror}") from None
    return tuple((one.st_mtime_ns, one.st_size, one.st_ino) for one in stats)


def _context(files: TlsFiles) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= (
        ssl.OP_NO_COMPRESSION
        | ssl.OP_NO_RENEGOTIATION
        | ssl.OP_NO_TICKET
        | ssl.OP_CIPHER_SERVER_PREFERENCE
    )
    context.num_tickets = 0
    # Forward secrecy and authenticated encryption only; TLS 1.3 has nothing else.
    context.set_ciphers("ECDHE+AESGCM:ECDHE+CHACHA20")
    context.set_alpn_protocols(["http/1.1"])
    password = _password(files.password_file)
    try:
        # A callable: without one OpenSSL would ask on the terminal.
        context.load_cert_chain(files.certificate, files.key, password=lambda: password)
    except (OSError, ValueError) as error:
        raise TlsProblem(f"{files.certificate} with {files.key}: {error}") from None
    if files.client_ca is not None:
        try:
            context.load_verify_locations(cafile=files.client_ca)
        except (OSError, ValueError) as error:
            raise TlsProblem(f"{files.client_ca}: {error}") from None
    context.verify_mode = _MODES[files.client_auth]
    return context


def _password(file: Path | None) -> str:
    if file is None:
        return ""
    try:
        return first_line(file)
    except (OSError, ValueError) as error:
        raise TlsProblem(f"{file}: {error}") from None


def fingerprint_of(connection: ssl.SSLSocket | ssl.SSLObject | None, now: datetime) -> str | None:
    """SHA-256 (hex) of the certificate that the other side showed; None for none.

    The handshake has checked chain and time; on a connection that stays open for long the time is
    looked at again.
    """
    shown = connection.getpeercert(binary_form=True) if connection is not None else None
    if not shown:
        return None
    if x509.load_der_x509_certificate(shown).not_valid_after_utc < now.astimezone(UTC):
        return None
    return hashlib.sha256(shown).hexdigest()
