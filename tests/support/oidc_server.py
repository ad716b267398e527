"""An OpenID Connect provider on loopback: discovery, keys, and tokens signed with throwaway keys.

It does what tests ask of it, wrong things too: other issuers, redirects, endless answers.
"""

from __future__ import annotations

import base64
import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

DISCOVERY, KEYS = "/.well-known/openid-configuration", "/keys"
AUDIENCE = "lienthong"

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey


def _text(number: int, length: int = 0) -> str:
    size = length or (number.bit_length() + 7) // 8
    return _encoded(number.to_bytes(size, "big"))


def _encoded(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).decode().rstrip("=")


def compact(header: dict[str, Any], claims: dict[str, Any], sign: Callable[[bytes], bytes]) -> str:
    """A JWS in compact form, put together by hand: the library under test refuses what is wrong."""
    text = ".".join(_encoded(json.dumps(part).encode()) for part in (header, claims))
    return f"{text}.{_encoded(sign(text.encode()))}"


@dataclass
class SigningKey:
    """A key of the provider, as it signs and as it publishes it."""

    kid: str
    key: PrivateKey

    @property
    def algorithm(self) -> str:
        """What it signs as."""
        return "RS256" if isinstance(self.key, rsa.RSAPrivateKey) else "ES256"

    def sign(self, text: bytes) -> bytes:
        """As JWS wants it (RFC 7518, 3.3 and 3.4)."""
        if isinstance(self.key, rsa.RSAPrivateKey):
            return self.key.sign(text, padding.PKCS1v15(), hashes.SHA256())
        r, s = decode_dss_signature(self.key.sign(text, ec.ECDSA(hashes.SHA256())))
        return r.to_bytes(32, "big") + s.to_bytes(32, "big")

    @property
    def published(self) -> dict[str, Any]:
        """The JWK."""
        if isinstance(self.key, rsa.RSAPrivateKey):
            numbers = self.key.public_key().public_numbers()
            mine = {"kty": "RSA", "n": _text(numbers.n), "e": _text(numbers.e)}
        else:
            point = self.key.public_key().public_numbers()
            mine = {"kty": "EC", "crv": "P-256", "x": _text(point.x, 32), "y": _text(point.y, 32)}
        return {**mine, "kid": self.kid, "use": "sig", "alg": self.algorithm}


def rsa_key(kid: str, bits: int = 2048) -> SigningKey:
    """A new RSA key."""
    return SigningKey(kid, rsa.generate_private_key(65537, bits))


def ec_key(kid: str) -> SigningKey:
    """A new key on P-256."""
    return SigningKey(kid, ec.generate_private_key(ec.SECP256R1()))


@dataclass
class OidcServer:
    """The provider; a context manager."""

    keys: list[SigningKey] = field(default_factory=lambda: [rsa_key("first"), ec_key("second")])
    #: Path to what is answered there instead: status, headers, body.
    instead: dict[str, tuple[int, dict[str, str], bytes]] = field(default_factory=dict)
    #: Members of the discovery document that differ.
    discovered: dict[str, Any] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def __enter__(self) -> OidcServer:
        provider = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                status, headers, body = provider.answer(self.path)
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: Any) -> None:
                """Quiet."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @property
    def issuer(self) -> str:
        """Its name and address."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def answer(self, path: str) -> tuple[int, dict[str, str], bytes]:
        """What it says at a path."""
        self.asked.append(path)
        if path in self.instead:
            return self.instead[path]
        told: dict[str, Any] = {
            DISCOVERY: {
                "issuer": self.issuer,
                "jwks_uri": f"{self.issuer}{KEYS}",
                **self.discovered,
            },
            KEYS: {"keys": [one.published for one in self.keys]},
        }.get(path, {})
        return 200, {"Content-Type": "application/json"}, json.dumps(told).encode()

    def claims(self, **changed: Any) -> dict[str, Any]:
        """The claims of a good token; None takes one away."""
        now = int(time.time())
        claims = {
            "iss": self.issuer,
            "aud": AUDIENCE,
            "sub": "nguyen-thi-lan",
            "iat": now,
            "exp": now + 600,
            "roles": ["lienthong-auditor"],
            **changed,
        }
        return {name: value for name, value in claims.items() if value is not None}

    def token(
        self,
        signer: SigningKey | None = None,
        *,
        header: dict[str, Any] | None = None,
        **changed: Any,
    ) -> str:
        """A token signed by one of the keys, the first if none is named."""
        by = signer or self.keys[0]
        whole = {"alg": by.algorithm, "typ": "JWT", "kid": by.kid, **(header or {})}
        return compact(whole, self.claims(**changed), by.sign)
