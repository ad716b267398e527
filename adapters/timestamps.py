"""Time stamps of an authority (RFC 3161): asking for one, and what one proves.

A stamp is stored as the authority signed it (a `TimeStampToken`, DER; ``openssl ts -verify
-token_in`` reads the same bytes). It proves nothing before `read_stamp` has looked at it.
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from datetime import datetime

import aiohttp
from asn1crypto import cms, core, tsp
from pyhanko.sign.general import extract_signer_info
from pyhanko.sign.validation.generic_cms import (
    extract_certs_for_validation,
    validate_sig_integrity,
)

from adapters.dialling import LOST
from adapters.trust.judge import Evidence, Judge, Purpose
from adapters.trust.material import RevocationMode, TrustMaterial, TrustPolicy

#: A stamp with its certificates has some thousand bytes.
LARGEST = 128 * 1024
SECONDS = 10.0
_GRANTED = ("granted", "granted_with_mods")
_HASHES = ("sha256", "sha384", "sha512")
_MECHANISMS = (
    "rsassa_pkcs1v15",
    "rsassa_pss",
    *(f"{name}_{kind}" for name in _HASHES for kind in ("rsa", "ecdsa")),
)


@dataclass(frozen=True, slots=True)
class NoStamp:
    """Why there is no stamp, or why it does not count."""

    found: str
    #: Whether nobody answered: the next question would fare no better now.
    away: bool = False


@dataclass(frozen=True, slots=True)
class Stamp:
    """A stamp that is whole and fits what it was asked for."""

    #: The time that the authority vouches for.
    at: datetime
    #: Subject of the authority's certificate.
    authority: str
    #: Whether its certificate may be believed; None: no authority is known here.
    trusted: bool | None
    why: str = ""


def judge_of(material: TrustMaterial) -> Judge:
    """Judges authorities by these anchors; what is revoked is refused, what is unlisted is not.

    A stamp is looked at years later: by then nobody publishes lists for its certificate any more.
    """
    return Judge(material, TrustPolicy(revocation=RevocationMode.SOFT))


async def read_stamp(token: bytes, text: bytes, judge: Judge) -> Stamp | NoStamp:
    """Hold a stamp against the bytes that it should be of. Never raises for what the token is.

    Its certificate is judged for the moment that it names: stamps outlive certificates.
    """
    try:
        if len(token) > LARGEST:
            return NoStamp("too large for a time stamp")
        signed, info = _parsed(token)
        if not _is_of(info, text):
            return NoStamp("it is of something else")
        return await _verified(signed, info["gen_time"].native, judge)
    except MemoryError:
        raise
    except Exception as error:
        # asn1crypto and pyHanko raise whatever they like over bytes of another form.
        return NoStamp(f"not a time stamp, or damaged: {_said(error)}")


async def _verified(signed: cms.SignedData, at: datetime, judge: Judge) -> Stamp | NoStamp:
    found = extract_certs_for_validation(signed)
    signer = extract_signer_info(signed)
    name = signer["digest_algorithm"]["algorithm"].native
    mechanism = signer["signature_algorithm"]["algorithm"].native
    if name not in _HASHES or mechanism not in _MECHANISMS:
        return NoStamp(f"signed with {mechanism} over {name}, which is not accepted")
    if signer["signed_attrs"] is core.VOID:
        return NoStamp("signed without attributes")
    content = bytes(signed["encap_content_info"]["content"])
    digest = hashlib.new(name, content).digest()
    # Trust is the judge's; pyHanko's own way to it would log every authority unknown here.
    if validate_sig_integrity(signer, found.signer_cert, "tst_info", digest) != (True, True):
        return NoStamp("its signature does not hold")
    evidence = Evidence(certificates=tuple(found.other_certs))
    judged = await judge.judge(found.signer_cert, at, Purpose.TIME_STAMPING, evidence)
    return Stamp(
        at,
        found.signer_cert.subject.human_friendly,
        judged.good if judge.material.anchors else None,
        judged.detail,
    )


class TimeStampAuthority:
    """An authority that is asked over HTTP (RFC 3161, section 3.4)."""

    def __init__(self, url: str, *, seconds: float = SECONDS) -> None:
        self._url = url
        self._seconds = seconds
        #: Trusts nobody: whether the authority is to be believed is for whoever verifies.
        self._judge = judge_of(TrustMaterial())

    async def stamp(self, text: bytes) -> tuple[bytes, Stamp] | NoStamp:
        """A stamp over these bytes, which leave the gateway only as their SHA-256."""
        nonce = secrets.randbits(63)
        question = tsp.TimeStampReq(
            {
                "version": 1,
                "message_imprint": {
                    "hash_algorithm": {"algorithm": "sha256"},
                    "hashed_message": hashlib.sha256(text).digest(),
                },
                "nonce": nonce,
                "cert_req": True,
            }
        )
        answer = await self._ask(question.dump())
        token = _token_of(answer, nonce) if isinstance(answer, bytes) else answer
        if isinstance(token, NoStamp):
            return token
        read = await read_stamp(token, text, self._judge)
        return read if isinstance(read, NoStamp) else (token, read)

    async def _ask(self, question: bytes) -> bytes | NoStamp:
        timeout = aiohttp.ClientTimeout(total=self._seconds, sock_connect=5)
        try:
            # Nothing is unpacked: a small answer could become a large one.
            async with (
                aiohttp.ClientSession(
                    timeout=timeout, trust_env=False, auto_decompress=False
                ) as session,
                session.post(
                    self._url,
                    data=question,
                    headers={
                        "Content-Type": "application/timestamp-query",
                        "Accept": "application/timestamp-reply",
                        "Accept-Encoding": "identity",
                    },
                    allow_redirects=False,
                ) as answer,
            ):
                if answer.status != 200:
                    return NoStamp(f"HTTP status {answer.status}", away=True)
                data = bytearray()
                async for block in answer.content.iter_chunked(16 * 1024):
                    data += block
                    if len(data) > LARGEST:
                        return NoStamp(f"more than {LARGEST} bytes")
                return bytes(data)
        except (*LOST, ValueError) as error:
            return NoStamp(_said(error), away=True)


class _Answer(core.Sequence):  # type: ignore[misc]  # the library has no types
    """`TimeStampResp` of RFC 3161, 2.4.2; in the library's own the token is not optional."""

    _fields = [  # noqa: RUF012  # as the library reads it
        ("status", tsp.PKIStatusInfo),
        ("time_stamp_token", cms.ContentInfo, {"optional": True}),
    ]


def _token_of(answer: bytes, nonce: int) -> bytes | NoStamp:
    """The token of an answer that grants one to this question."""
    try:
        told = _Answer.load(answer, strict=True)
        status = told["status"]["status"].native
        if status not in _GRANTED:
            said = "; ".join(told["status"]["status_string"].native or ())
            return NoStamp(f"the authority says {status}: {said}"[:300])
        if not isinstance(told["time_stamp_token"], cms.ContentInfo):
            return NoStamp("the authority grants a stamp and sends none")
        token: bytes = told["time_stamp_token"].dump()
        _, info = _parsed(token)
        if info["nonce"].native != nonce:
            return NoStamp("an answer to another question (nonce)")
    except Exception as error:
        # As above: these bytes come from outside.
        return NoStamp(f"not an answer of a time-stamping authority: {_said(error)}")
    return token


def _parsed(token: bytes) -> tuple[cms.SignedData, tsp.TSTInfo]:
    """What is signed, and what it says. Raises whatever asn1crypto does."""
    content = cms.ContentInfo.load(token, strict=True)
    if content["content_type"].native != "signed_data":
        raise ValueError("nothing signed")
    signed = content["content"]
    if signed["encap_content_info"]["content_type"].native != "tst_info":
        raise ValueError("signed, but not about a time")
    info = signed["encap_content_info"]["content"].parsed
    if not isinstance(info, tsp.TSTInfo):
        raise TypeError("signed, but not about a time")
    return signed, info


def _is_of(info: tsp.TSTInfo, text: bytes) -> bool:
    imprint = info["message_imprint"]
    name = imprint["hash_algorithm"]["algorithm"].native
    same = hashlib.sha256(text).digest() == imprint["hashed_message"].native
    return bool(name == "sha256" and same)


def _said(error: Exception) -> str:
    return (str(error) or type(error).__name__)[:300]
