"""Trust material: anchors per profile, certificates of agencies, revocation, suspension.

`TrustFolder` is where it lies, `RevocationFetcher` keeps lists fresh, `judge.Judge` judges.
"""

from adapters.trust.certificates import KindRule, NotACertificate, certificate_facts
from adapters.trust.fetch import Fetched, FetchPolicy, Kept, RevocationFetcher, kept_revocation
from adapters.trust.folder import TrustEntry, TrustFolder, TrustProblem
from adapters.trust.material import RevocationMode, TrustMaterial, TrustPolicy

__all__ = [
    "FetchPolicy",
    "Fetched",
    "Kept",
    "KindRule",
    "NotACertificate",
    "RevocationFetcher",
    "RevocationMode",
    "TrustEntry",
    "TrustFolder",
    "TrustMaterial",
    "TrustPolicy",
    "TrustProblem",
    "certificate_facts",
    "kept_revocation",
]
