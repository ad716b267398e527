"""Lists and answers about revocation, fetched ahead of need and kept in the trust folder.

Only hosts that the operator has named are ever asked, about certificates that lie in the trust
folder and for lists that signatures of a trusted authority were missing; no other URL in a
stranger's certificate is opened (reliability 2.3). Each answer is bounded in bytes and seconds,
redirects are not followed, and an older list never takes a newer one's place. What was fetched is
believed for nothing by itself: its signature is checked where it is used.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeVar
from urllib.parse import urlsplit

import aiohttp
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp
from cryptography.x509.oid import AuthorityInformationAccessOID

from adapters.dialling import LOST
from adapters.trust.certificates import crl_der, crl_urls, load_crl
from adapters.trust.folder import REVOCATION, TrustFolder
from envelopes.signature_facts import Revocation, SignatureFacts

#: Lists that are fetched because signatures were missing them.
_MAX_WANTED = 100

_T = TypeVar("_T", bound=x509.ExtensionType)


@dataclass(frozen=True, slots=True)
class FetchPolicy:
    """Whom to ask, and how much of an answer to take.

    `hosts` are names with a port where it is not the usual one: ``crl.ca.gov.vn``,
    ``127.0.0.1:8080``. `urls` are lists to be kept fresh beside those that certificates name.
    """

    hosts: frozenset[str] = frozenset()
    urls: tuple[str, ...] = ()
    max_bytes: int = 20 * 1024 * 1024
    seconds: float = 15.0
    #: Never asked more often than this ...
    at_least: timedelta = timedelta(minutes=5)
    #: ... and at least this often, whatever nextUpdate says.
    at_most: timedelta = timedelta(hours=12)


@dataclass(frozen=True, slots=True)
class Fetched:
    """What came of one question; `problem` is empty where it went well."""

    url: str
    kind: str
    problem: str = ""
    next_update: datetime | None = None
    #: Whether nobody was asked, because that host may not be.
    refused: bool = False

    @property
    def ok(self) -> bool:
        """Whether something usable came."""
        return not self.problem


@dataclass(frozen=True, slots=True)
class _Question:
    url: str
    kind: str
    name: str
    #: Of an OCSP question: what is sent.
    body: bytes | None = None


class RevocationFetcher:
    """Keeps lists and answers fresh; call `refresh` from a timer."""

    def __init__(self, folder: TrustFolder, policy: FetchPolicy) -> None:
        self._folder = folder
        self._policy = policy
        self._asked: dict[str, datetime] = {}
        #: Lists that signatures were missing, the latest last.
        self._wanted: dict[str, None] = {}

    def want(self, facts: SignatureFacts) -> bool:
        """Note the lists that signatures of `facts` were missing, of hosts that may be asked.

        Whether there are any: then the package may be inspected again after `refresh`.
        """
        missing = (Revocation.UNKNOWN, Revocation.STALE)
        found = {
            url
            for one in facts.all_signatures
            if one.trusted and one.revocation in missing and one.signer is not None
            for url in one.signer.crl_urls
            if not self._refusal(url)
        }
        for url in found:
            self._wanted.pop(url, None)
            self._wanted[url] = None
        while len(self._wanted) > _MAX_WANTED:
            del self._wanted[next(iter(self._wanted))]
        return bool(found)

    async def refresh(self, now: datetime) -> tuple[Fetched, ...]:
        """Ask for everything that is due; what came of it. Raises OSError of the folder alone."""
        questions = await asyncio.to_thread(lambda: list(self._questions()))
        due = [one for one in questions if await asyncio.to_thread(self._due, one, now)]
        if not due:
            return ()
        timeout = aiohttp.ClientTimeout(total=self._policy.seconds, sock_connect=5)
        async with aiohttp.ClientSession(timeout=timeout, trust_env=False) as session:
            return tuple([await self._ask(session, one, now) for one in due])

    def _questions(self) -> Iterator[_Question]:
        entries = self._folder.entries()
        certificates = [x509.load_der_x509_certificate(one.der) for one in entries]
        issuers = {one.subject: one for one in certificates}
        seen = set()
        named = (url for one in certificates for url in crl_urls(one))
        for url in (*self._policy.urls, *named, *self._wanted):
            if url not in seen:
                seen.add(url)
                yield _Question(url, "crl", f"{_short(url)}.crl")
        for certificate in certificates:
            issuer = issuers.get(certificate.issuer)
            if issuer is None or issuer == certificate:
                continue
            for url in _ocsp_urls(certificate):
                yield _ocsp_question(url, certificate, issuer)

    def _due(self, question: _Question, now: datetime) -> bool:
        asked = self._asked.get(question.name)
        if asked is not None and now - asked < self._policy.at_least:
            return False
        this_update, next_update = self._kept_times(question) or (None, None)
        if this_update is None or next_update is None:
            return True
        # Half of its life is over: time enough to try again before it ends.
        return now >= min(
            this_update + (next_update - this_update) / 2, this_update + self._policy.at_most
        )

    def _kept_times(self, question: _Question) -> tuple[datetime, datetime | None] | None:
        """Times of what is kept; None where nothing is, or nothing that can be read."""
        kept = self._folder.revocation(question.name)
        try:
            return None if kept is None else _times(question.kind, kept)
        except ValueError:
            # Damaged, or an operator's slip: the next good answer takes its place.
            return None

    async def _ask(
        self, session: aiohttp.ClientSession, question: _Question, now: datetime
    ) -> Fetched:
        self._asked[question.name] = now
        refusal = self._refusal(question.url)
        if refusal:
            return Fetched(question.url, question.kind, refusal, refused=True)
        try:
            data = await self._load(session, question)
        except (*LOST, ValueError) as error:
            return _failed(question, error)
        try:
            # An OSError here is our own disk's, and goes up.
            _, next_update = await asyncio.to_thread(self._keep, question, data, now)
        except ValueError as error:
            return _failed(question, error)
        return Fetched(question.url, question.kind, next_update=next_update)

    def _refusal(self, url: str) -> str:
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError as error:
            return str(error)
        host = (parts.hostname or "") + (f":{port}" if port else "")
        if parts.scheme not in ("http", "https") or parts.username is not None:
            return "only plain http and https addresses are asked"
        if host not in self._policy.hosts:
            return f"the host {host!r} is not among those allowed"
        return ""

    async def _load(self, session: aiohttp.ClientSession, question: _Question) -> bytes:
        headers = {"Content-Type": "application/ocsp-request"} if question.body else {}
        async with session.request(
            "POST" if question.body else "GET",
            question.url,
            data=question.body,
            headers=headers,
            allow_redirects=False,
        ) as answer:
            if answer.status != 200:
                raise ValueError(f"HTTP status {answer.status}")
            data = bytearray()
            async for block in answer.content.iter_chunked(64 * 1024):
                data += block
                if len(data) > self._policy.max_bytes:
                    raise ValueError(f"more than {self._policy.max_bytes} bytes")
            return bytes(data)

    def _keep(
        self, question: _Question, data: bytes, now: datetime
    ) -> tuple[datetime, datetime | None]:
        """Keep an answer that can be read and is no older than ours. Raises ValueError."""
        if question.kind == "crl":
            data = crl_der(data)
        times = _times(question.kind, data)
        kept = self._kept_times(question)
        if kept is not None and times[0] < kept[0]:
            raise ValueError("older than what is kept")
        if times[0] > now + timedelta(minutes=5):
            raise ValueError("made in the future")
        self._folder.keep_revocation(question.name, data)
        return times


@dataclass(frozen=True, slots=True)
class Kept:
    """A list or an answer of the trust folder: when it was made, and when the next was due."""

    name: str
    this_update: datetime
    next_update: datetime | None


def kept_revocation(folder: TrustFolder) -> tuple[Kept, ...]:
    """What the folder keeps about revocation; files that cannot be read are left out.

    Raises OSError; blocks on the disk.
    """
    found = []
    for path in sorted((folder.folder / REVOCATION).glob("*")):
        if path.suffix not in (".crl", ".ocsp") or not path.is_file():
            continue
        try:
            found.append(Kept(path.name, *_times(path.suffix[1:], path.read_bytes())))
        except (ValueError, FileNotFoundError):
            # `lienthong trust list` names those that cannot be read.
            continue
    return tuple(found)


def _failed(question: _Question, error: Exception) -> Fetched:
    said = str(error) or type(error).__name__
    return Fetched(question.url, question.kind, said[:300])


def _times(kind: str, data: bytes) -> tuple[datetime, datetime | None]:
    """thisUpdate and nextUpdate. Raises ValueError for what is no list or answer."""
    if kind == "crl":
        found = load_crl(data)
        return found.last_update_utc, found.next_update_utc
    answer = ocsp.load_der_ocsp_response(data)
    if answer.response_status is not ocsp.OCSPResponseStatus.SUCCESSFUL:
        raise ValueError(f"the responder says {answer.response_status.name}")
    return answer.this_update_utc, answer.next_update_utc


def _ocsp_urls(certificate: x509.Certificate) -> Iterator[str]:
    for access in _extension(certificate, x509.AuthorityInformationAccess) or ():
        if access.access_method == AuthorityInformationAccessOID.OCSP:
            yield from _urls((access.access_location,))


def _urls(names: Iterable[x509.GeneralName]) -> Iterator[str]:
    for one in names:
        if isinstance(one, x509.UniformResourceIdentifier):
            yield one.value


def _extension(certificate: x509.Certificate, kind: type[_T]) -> _T | None:
    try:
        return certificate.extensions.get_extension_for_class(kind).value
    except (x509.ExtensionNotFound, ValueError):
        return None


def _ocsp_question(url: str, certificate: x509.Certificate, issuer: x509.Certificate) -> _Question:
    # SHA-1 only names the issuer here, and is what every responder knows.
    request = ocsp.OCSPRequestBuilder().add_certificate(certificate, issuer, hashes.SHA1())  # noqa: S303
    body = request.build().public_bytes(Encoding.DER)
    name = f"{certificate.fingerprint(hashes.SHA256()).hex()[:32]}.ocsp"
    return _Question(url, "ocsp", name, body)


def _short(url: str) -> str:
    return hashlib.sha256(url.encode()).hexdigest()[:32]
