"""Where the exact bytes of packages lie: a folder, or an S3-compatible object store.

- `store`: what the gateway needs of a store (`Payloads`), and its values;
- `spool`: a package on its way in, on local disk whatever the store;
- `disk`, `s3`: the two stores;
- `orphans`: removes payloads that no record speaks of;
- `integrity`: reads payloads again and compares their digests.
"""

from adapters.payloads.disk import DiskPayloads, DiskSpool
from adapters.payloads.s3 import S3Payloads
from adapters.payloads.s3_calls import S3Options, S3Problem
from adapters.payloads.spool import ABANDONED_AFTER, Spool
from adapters.payloads.store import BLOCK, PayloadHealth, Payloads, References, StoredPayload

__all__ = [
    "ABANDONED_AFTER",
    "BLOCK",
    "DiskPayloads",
    "DiskSpool",
    "PayloadHealth",
    "Payloads",
    "References",
    "S3Options",
    "S3Payloads",
    "S3Problem",
    "Spool",
    "StoredPayload",
]
