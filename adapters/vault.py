"""Sealing secrets at rest: what the database keeps of a shared key opens only with the gateway's.

The gateway's key lies in a file (mode 0600), not in the database: who gets hold of a copy of the
database reads no partner's secret. The file holds one key per line; the first seals, all open, so a
key can be replaced while old seals still open. All processes of one gateway use the same file.
"""

from __future__ import annotations

from pathlib import Path

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from adapters.durable import make_secret


class VaultProblem(Exception):
    """The key file cannot be used, or a seal does not open with its keys; says which and why."""


class Vault:
    """Seals and opens short secrets with the keys of one file."""

    def __init__(self, keys: list[str]) -> None:
        """`keys` are Fernet keys (URL-safe base64 of 32 bytes). Raises `VaultProblem`."""
        try:
            self._fernet = MultiFernet([Fernet(key) for key in keys])
        except ValueError as error:
            raise VaultProblem(f"a key in the key file is malformed: {error}") from None

    @classmethod
    def from_file(cls, path: Path) -> Vault:
        """The vault of a key file, which is made with a new key when there is none.

        Raises `VaultProblem` when it cannot be read or made, or when others may read it.
        """
        try:
            if not path.exists():
                # Who comes second uses the first's key.
                make_secret(path, Fernet.generate_key() + b"\n")
            if path.stat().st_mode & 0o077:
                raise VaultProblem(f"{path}: others may read the key file; run: chmod 600 {path}")
            keys = path.read_text("ascii").split()
        except (OSError, UnicodeDecodeError) as error:
            raise VaultProblem(f"{path}: the key file cannot be used: {error}") from None
        if not keys:
            raise VaultProblem(f"{path}: the key file holds no key")
        return cls(keys)

    def seal(self, secret: str) -> str:
        """The secret as text that only these keys open."""
        return self._fernet.encrypt(secret.encode()).decode("ascii")

    def open(self, sealed: str) -> str:
        """The secret again. Raises `VaultProblem` when no key of the file opens it."""
        try:
            return self._fernet.decrypt(sealed.encode("ascii")).decode()
        except (InvalidToken, UnicodeError):
            raise VaultProblem(
                "a stored secret does not open with the keys of the key file: "
                "is it the file of this gateway? See the setting key_file"
            ) from None
