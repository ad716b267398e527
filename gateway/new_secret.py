"""Making secrets that are shared with partners."""

from __future__ import annotations

import secrets

#: Bytes of chance in a generated secret (256 bits).
SECRET_BYTES = 32


def new_secret() -> str:
    """A new shared secret: 43 characters, URL-safe."""
    return secrets.token_urlsafe(SECRET_BYTES)
