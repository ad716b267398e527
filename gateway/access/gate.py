"""Which person is behind a bearer token: a personal one of this gateway, or the provider's."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import structlog

from adapters.database import PeopleStore, SqlDatabase, StoredPerson
from adapters.oidc import NotBelieved, OidcVerifier, ProviderAway
from gateway import clock
from gateway.access.failures import FailedAuthentications
from gateway.access.people import NoPerson, Person, PersonRole, person_of_claims
from gateway.settings import Settings
from identifiers.organ_id import MalformedOrganId, OrganId

log = structlog.get_logger(__name__)

#: What personal tokens begin with.
TOKEN_PREFIX = "ltp_"  # noqa: S105 - no secret, only its beginning
FACE = "people"
#: Digests of tokens that were good lately, at the most.
MOST_KNOWN = 2000


@dataclass(frozen=True, slots=True)
class NotKnown:
    """Nobody known comes with this token."""


@dataclass(frozen=True, slots=True)
class WaitFirst:
    """Too many failures from this address; seconds until the next try is looked at."""

    seconds: float


def make_verifier(settings: Settings) -> OidcVerifier | None:
    """The verifier of the settings' provider, None without one. Raises `OidcProblem`."""
    if not settings.oidc_issuer:
        return None
    return OidcVerifier(
        settings.oidc_issuer,
        settings.oidc_audience,
        longest_seconds=settings.oidc_longest_hours * 3600,
        ca=settings.oidc_ca,
    )


def digest_of(token: str) -> str:
    """What the database keeps of a personal token."""
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).hexdigest()


class PeopleGate:
    """Authenticates people."""

    def __init__(
        self,
        settings: Settings,
        database: SqlDatabase,
        verifier: OidcVerifier | None,
        failures: FailedAuthentications,
    ) -> None:
        self._settings = settings
        self._store = PeopleStore(database)
        self._verifier = verifier
        self._failures = failures
        self._known: dict[str, None] = {}

    async def authenticate(
        self, token: str, peer: str | None
    ) -> Person | NotKnown | WaitFirst | ProviderAway:
        """The person of this token, from this address. Raises `DatabaseUnavailable`."""
        digest = digest_of(token)
        wait = self._failures.wait(peer)
        if wait and digest not in self._known:
            return WaitFirst(wait)
        found = await self._find(token, digest)
        if isinstance(found, NoPerson):
            self._known.pop(digest, None)
            await self._failures.note(FACE, _short(found.why), peer)
            return NotKnown()
        if isinstance(found, Person):
            self._remember(digest)
        return found

    async def _find(self, token: str, digest: str) -> Person | NoPerson | ProviderAway:
        if token.startswith(TOKEN_PREFIX):
            stored = await self._store.authenticate(digest, clock.now())
            return person_of(stored) if stored is not None else NoPerson("unknown-token")
        if self._verifier is None or token.count(".") != 2:
            return NoPerson("unknown-token")
        claims = await self._verifier.verify(token)
        if isinstance(claims, ProviderAway):
            log.warning("oidc.provider-away", why=claims.why)
            return claims
        if isinstance(claims, NotBelieved):
            log.warning("oidc.not-believed", why=claims.why)
            return NoPerson("not-believed")
        settings = self._settings
        person = person_of_claims(
            claims,
            name_claim=settings.oidc_name_claim,
            role_claim=settings.oidc_role_claim,
            role_words=settings.role_words,
            agencies_claim=settings.oidc_agencies_claim,
        )
        if isinstance(person, NoPerson):
            log.warning("oidc.nobody-here", why=person.why)
            return NoPerson("no-role")
        return NoPerson("closed") if await self._store.is_closed(person.name) else person

    def _remember(self, digest: str) -> None:
        if digest not in self._known and len(self._known) >= MOST_KNOWN:
            self._known.pop(next(iter(self._known)))
        self._known[digest] = None


def _short(why: str) -> str:
    """A label of the metric: one of few words."""
    return why if why in ("unknown-token", "not-believed", "no-role", "closed") else "other"


def person_of(stored: StoredPerson) -> Person:
    """The person of an account."""
    codes = [OrganId.parse(code) for code in stored.agencies]
    return Person(
        name=stored.name,
        roles=frozenset(PersonRole(role) for role in stored.roles),
        agencies=tuple(code for code in codes if not isinstance(code, MalformedOrganId)),
    )
