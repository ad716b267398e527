"""The body of `sendEdoc`, checked against ``hash-file`` while it passes.

Real clients write SHA-256 in hex without padding each byte (0x0a as ``a``), and some send a CRLF
behind the file that is not part of it. Two bytes are held back until the end, so that the bytes
that go on are exactly the ones that were hashed, and nothing has to be cut off afterwards.
"""

from __future__ import annotations

import hashlib

from gateway.intake import Body

CRLF = b"\r\n"


class WrongHash(Exception):
    """The body is not the file that ``hash-file`` was made of."""

    def __init__(self, found: str) -> None:
        super().__init__(found)
        #: SHA-256 of the whole body, padded.
        self.found = found


class HashedBody:
    """A body that ends with `WrongHash` unless it has the digest that was signed."""

    def __init__(self, body: Body, hash_file: str) -> None:
        self._body = body
        self._wanted = hash_file.strip().lower()
        self._hash = hashlib.sha256()
        self._held = b""
        self._ended = False

    async def readany(self) -> bytes:
        """Bytes of the file; empty at its end. Raises `WrongHash` there."""
        while not self._ended:
            block = await self._body.readany()
            if not block:
                self._ended = True
                return self._last()
            passing = self._held + block
            self._held = passing[-len(CRLF) :]
            passing = passing[: -len(CRLF)]
            if passing:
                self._hash.update(passing)
                return passing
        return b""

    def _last(self) -> bytes:
        without = self._hash.copy()
        self._hash.update(self._held)
        # An empty body is not the wrong file but none: for the intake to say.
        if self._is_wanted(self._hash.digest()) or not self._held:
            return self._held
        if self._held == CRLF and self._is_wanted(without.digest()):
            return b""
        raise WrongHash(self._hash.hexdigest())

    def _is_wanted(self, digest: bytes) -> bool:
        return self._wanted in (digest.hex(), unpadded(digest))


def unpadded(digest: bytes) -> str:
    """Hex as the field's toolkits write it: no leading zero within a byte."""
    return "".join(f"{byte:x}" for byte in digest)
