"""Trust material in a folder: what an operator can see, copy, back up and put under review.

    anchors/*.pem               trusted by every profile
    anchors/<profile>/*.pem     trusted by one profile as well
    intermediates/*.pem         help to build chains, are trusted by nobody
    agencies/<code>/*.pem       certificates registered for an agency
    suspended/<sha256>.json     certificates that count for nothing, since when and why
    revocation/*.crl, *.ocsp    lists and answers (`adapters.trust.fetch` keeps them fresh)

Files are read again when anything changed: a suspension holds from the next package on, in every
process that sees the folder, without a restart (SIG-REVOKED-NOW, ĐB 27.6).
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp

from adapters.durable import write_durably
from adapters.trust.certificates import (
    NotACertificate,
    certificate_facts,
    crl_der,
    load_certificates,
    sha256_of,
)
from adapters.trust.material import TrustMaterial
from envelopes.signature_facts import CertificateFacts
from identifiers.organ_id import MalformedOrganId, OrganId

ANCHORS, INTERMEDIATES, AGENCIES = "anchors", "intermediates", "agencies"
SUSPENDED, REVOCATION = "suspended", "revocation"
_PROFILE = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")
_CERTIFICATES = (".pem", ".crt", ".cer", ".der", ".p7b")


@dataclass(frozen=True, slots=True)
class TrustEntry:
    """One certificate of the folder and what it is there for."""

    role: str
    #: Profile of an anchor (empty: all), code of an agency.
    owner: str
    path: Path
    der: bytes
    facts: CertificateFacts
    suspended_since: datetime | None = None
    suspended_why: str = ""


#: A certificate of the folder: where it lies, its DER form, what it says.
_Certificate = tuple[Path, bytes, CertificateFacts]


@dataclass(frozen=True, slots=True)
class TrustProblem:
    """Why something could not be done; a value, not an exception."""

    found: str
    allowed: str


class TrustFolder:
    """The trust material of one folder. Methods block on the disk: call them in a thread."""

    def __init__(self, folder: Path) -> None:
        """Use `folder`; it need not exist yet: then nothing is trusted."""
        self.folder = folder
        self._kept: dict[str, tuple[str, TrustMaterial]] = {}
        self._lock = threading.Lock()

    # Reading

    def material(self, profile: str) -> TrustMaterial:
        """What `profile` trusts now. Raises OSError when the folder cannot be read."""
        with self._lock:
            stamp = self.stamp()
            kept = self._kept.get(profile)
            if kept is None or kept[0] != stamp:
                kept = stamp, self._read(profile, stamp)
                self._kept[profile] = kept
            return kept[1]

    def stamp(self) -> str:
        """Changes when a file does. Asked for every package, so quick with thousands of files.

        Raises OSError when the folder cannot be read.
        """
        states = sorted(_states(str(self.folder)))
        return hashlib.sha256(os.fsencode("".join(states))).hexdigest()

    def _read(self, profile: str, stamp: str) -> TrustMaterial:
        problems: list[str] = []
        anchors = [*self._certificates(ANCHORS, problems)]
        if _PROFILE.fullmatch(profile):
            anchors += self._certificates(f"{ANCHORS}/{profile}", problems)
        else:
            problems.append(f"no profile can be called {profile!r}")
        agencies: dict[str, tuple[bytes, ...]] = {}
        for code, folder in self._agencies(problems):
            found = tuple(der for _, der, _ in self._in(folder, problems))
            agencies[code] = agencies.get(code, ()) + found
        return TrustMaterial(
            anchors=tuple(der for _, der, _ in anchors),
            intermediates=tuple(der for _, der, _ in self._certificates(INTERMEDIATES, problems)),
            crls=self._lists("*.crl", crl_der, problems),
            ocsps=self._lists("*.ocsp", _ocsp, problems),
            agencies=agencies,
            suspended={sha256: since for sha256, (since, _) in self._suspensions(problems).items()},
            problems=tuple(problems),
            stamp=stamp,
        )

    def _certificates(self, place: str, problems: list[str]) -> Iterator[_Certificate]:
        return self._in(self.folder / place, problems)

    def _in(self, folder: Path, problems: list[str]) -> Iterator[_Certificate]:
        """The certificates of the files directly in `folder`."""
        for path in sorted(folder.glob("*")):
            if path.suffix.lower() not in _CERTIFICATES or not path.is_file():
                continue
            try:
                for der in load_certificates(path.read_bytes()):
                    yield path, der, certificate_facts(der)
            except NotACertificate as error:
                problems.append(f"{path.relative_to(self.folder)}: {error}")

    def _agencies(self, problems: list[str]) -> Iterator[tuple[str, Path]]:
        for folder in sorted((self.folder / AGENCIES).glob("*")):
            code = OrganId.parse(folder.name)
            if isinstance(code, OrganId):
                yield code.key, folder
            else:
                problems.append(f"{AGENCIES}/{folder.name}: {code.reason.en}")

    def _lists(
        self, pattern: str, check: Callable[[bytes], bytes], problems: list[str]
    ) -> tuple[bytes, ...]:
        found = []
        for path in sorted((self.folder / REVOCATION).glob(pattern)):
            try:
                found.append(check(path.read_bytes()))
            except ValueError as error:
                problems.append(f"{path.relative_to(self.folder)}: {error}")
        return tuple(found)

    def _suspensions(self, problems: list[str]) -> Mapping[str, tuple[datetime, str]]:
        found = {}
        for path in sorted((self.folder / SUSPENDED).glob("*.json")):
            since, why = datetime.min.replace(tzinfo=UTC), ""
            try:
                data = json.loads(path.read_bytes())
                since, why = datetime.fromisoformat(data["since"]), str(data.get("reason", ""))
            except (ValueError, KeyError, TypeError) as error:
                # The file is there: it suspends, even if nobody can tell since when.
                problems.append(f"{path.relative_to(self.folder)}: {error}")
            found[path.stem.lower()] = (since, why)
        return found

    def entries(self) -> tuple[TrustEntry, ...]:
        """Every certificate of the folder. Raises OSError."""
        suspended = self._suspensions([])
        found = []
        for role, owner, folder in self._places():
            for path, der, facts in self._in(folder, []):
                since, why = suspended.get(facts.sha256, (None, ""))
                found.append(TrustEntry(role, owner, path, der, facts, since, why))
        return tuple(found)

    def _places(self) -> Iterator[tuple[str, str, Path]]:
        anchors = self.folder / ANCHORS
        yield ANCHORS, "", anchors
        for profile in sorted(one for one in anchors.glob("*") if one.is_dir()):
            yield ANCHORS, profile.name, profile
        yield INTERMEDIATES, "", self.folder / INTERMEDIATES
        for code, folder in self._agencies([]):
            yield AGENCIES, code, folder

    def expiring(self, now: datetime, within: timedelta) -> tuple[TrustEntry, ...]:
        """Certificates that run out before `now + within`, or have, the first to go first."""
        return expiring(self.entries(), now, within)

    # Changing

    def add_anchors(
        self, data: bytes, profile: str = ""
    ) -> tuple[CertificateFacts, ...] | TrustProblem:
        """Trust the certificates in `data`, in all profiles or in one.

        Raises NotACertificate and OSError.
        """
        if profile and not _PROFILE.fullmatch(profile):
            return TrustProblem(profile, "small letters, digits and hyphens")
        folder = self.folder / ANCHORS
        return self._add(folder / profile if profile else folder, data)

    def add_intermediates(self, data: bytes) -> tuple[CertificateFacts, ...]:
        """Use the certificates in `data` for chains. Raises NotACertificate and OSError."""
        return self._add(self.folder / INTERMEDIATES, data)

    def register(self, code: str, data: bytes) -> tuple[CertificateFacts, ...] | TrustProblem:
        """Register the certificates in `data` for an agency. Raises NotACertificate, OSError."""
        parsed = OrganId.parse(code)
        if isinstance(parsed, MalformedOrganId):
            return TrustProblem(code, parsed.allowed)
        return self._add(self.folder / AGENCIES / parsed.key, data)

    def _add(self, folder: Path, data: bytes) -> tuple[CertificateFacts, ...]:
        added = []
        for der in load_certificates(data):
            pem = x509.load_der_x509_certificate(der).public_bytes(Encoding.PEM)
            write_durably(folder / f"{sha256_of(der)}.pem", pem)
            added.append(certificate_facts(der))
        return tuple(added)

    def find(self, text: str) -> tuple[TrustEntry, ...]:
        """Entries whose SHA-256 or serial number begins with `text`, or of the agency `text`."""
        code = OrganId.parse(text)
        key = code.key if isinstance(code, OrganId) else None
        wanted = text.lower().replace(":", "")
        return tuple(
            one
            for one in self.entries()
            if (one.role == AGENCIES and one.owner == key)
            or (
                len(wanted) >= 6
                and (one.facts.sha256.startswith(wanted) or one.facts.serial == wanted)
            )
        )

    def suspend(self, sha256: str, *, reason: str, by: str, now: datetime) -> None:
        """From `now` on the certificate counts for nothing, known to the folder or not."""
        note = {"since": now.isoformat(), "reason": reason, "by": by}
        path = self.folder / SUSPENDED / f"{sha256.lower()}.json"
        if not path.exists():
            # A second report does not move the moment to a later one.
            write_durably(path, json.dumps(note, ensure_ascii=False, indent=2).encode())

    def resume(self, sha256: str) -> bool:
        """Take a suspension back; whether there was one."""
        path = self.folder / SUSPENDED / f"{sha256.lower()}.json"
        if not path.exists():
            return False
        path.unlink()
        return True

    def keep_revocation(self, name: str, data: bytes) -> None:
        """Keep a list (`….crl`) or an answer (`….ocsp`) that was checked to be one."""
        write_durably(self.folder / REVOCATION / name, data)

    def revocation(self, name: str) -> bytes | None:
        """What is kept under `name`."""
        path = self.folder / REVOCATION / name
        return path.read_bytes() if path.is_file() else None


def expiring(
    entries: Iterable[TrustEntry], now: datetime, within: timedelta
) -> tuple[TrustEntry, ...]:
    """Those that run out before `now + within`, or have, the first to go first."""
    last = datetime.max.replace(tzinfo=UTC)
    found = [one for one in entries if (one.facts.not_after or last) <= now + within]
    return tuple(sorted(found, key=lambda one: one.facts.not_after or last))


def _states(folder: str) -> Iterator[str]:
    """What lies in a folder and below it, with what changes when that does."""
    try:
        entries = os.scandir(folder)
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return
    with entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                yield f"{entry.path}\0"
                yield from _states(entry.path)
                continue
            try:
                # Of a link, what it leads to: that is what is read.
                status = entry.stat()
            except FileNotFoundError:
                continue
            yield f"{entry.path}\0{status.st_mtime_ns}\0{status.st_size}\0"


def _ocsp(data: bytes) -> bytes:
    return ocsp.load_der_ocsp_response(data).public_bytes(Encoding.DER)
