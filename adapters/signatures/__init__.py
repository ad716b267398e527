"""Verification of signatures in bounded processes; `SignatureInspector.inspect` is the door."""

from adapters.signatures.inspector import InspectionLimits, SignatureInspector, TrustSource
from adapters.signatures.pool import WorkerFailed, WorkerLimits

__all__ = ["InspectionLimits", "SignatureInspector", "TrustSource", "WorkerFailed", "WorkerLimits"]
