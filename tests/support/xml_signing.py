"""Signing packages in every right and wrong way, the plain way: whole trees in memory.

Shares no code with `envelopes.xml_signature`: what it verifies is judged by something else.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, utils
from cryptography.hazmat.primitives.serialization import Encoding
from lxml import etree

from tests.support.pki import Credential

DS = "http://www.w3.org/2000/09/xmldsig#"
ENVELOPED = DS + "enveloped-signature"
C14N = "http://www.w3.org/TR/2001/REC-xml-c14n-20010315"
C14N11 = "http://www.w3.org/2006/12/xml-c14n11"
EXCLUSIVE = "http://www.w3.org/2001/10/xml-exc-c14n#"
MORE = "http://www.w3.org/2001/04/xmldsig-more#"
NAMESPACE = "http://www.mic.gov.vn/TBT/QCVN_102_2016"
DIGESTS = {
    "sha1": DS + "sha1",
    "sha256": "http://www.w3.org/2001/04/xmlenc#sha256",
    "sha384": MORE + "sha384",
    "sha512": "http://www.w3.org/2001/04/xmlenc#sha512",
    "md5": MORE + "md5",
}
_HASHES = {
    "sha1": hashes.SHA1,
    "sha256": hashes.SHA256,
    "sha384": hashes.SHA384,
    "sha512": hashes.SHA512,
    "md5": hashes.MD5,
}


@dataclass(frozen=True)
class Form:
    """How to sign; every field has the value of an ordinary signature."""

    hash_name: str = "sha256"
    digest_name: str = "sha256"
    canonical: str = C14N
    info_canonical: str = C14N
    uri: str | None = ""
    transforms: tuple[str, ...] | None = None
    #: Certificates in KeyInfo; None: the signer's chain.
    certificates: Sequence[bytes] | None = None
    key_value_of: Credential | None = None
    method: str | None = None
    hmac_secret: bytes | None = None
    references: int = 1
    #: Where it is put: an XPath of local names under the root.
    place: str = "edXMLEnvelope/edXMLHeader"
    inside: str = ""


def sign(package: bytes, by: Credential, form: Form = Form(), **changes: object) -> bytes:
    """`package` with an enveloped signature over it."""
    form = replace(form, **changes)
    root = etree.fromstring(package)
    prefixed = "".join(f"/*[local-name()='{step}']" for step in form.place.split("/") if step)
    parent = root.xpath(f".{prefixed}" if prefixed else ".")[0]
    digest = hashlib.new(form.digest_name, canonical(root.getroottree(), form.canonical)).digest()
    signature = _signature(digest, by, form)
    parent.append(signature)
    info = signature.find(f"{{{DS}}}SignedInfo")
    value = _value(canonical_part(info, form.info_canonical), by, form)
    signature.find(f"{{{DS}}}SignatureValue").text = base64.b64encode(value).decode()
    return etree.tostring(root, xml_declaration=True, encoding="UTF-8")


def sign_large(path: Path, package: bytes, content: bytes, times: int, by: Credential) -> None:
    """Write a signed package to `path` whose one file is `content` (base64) `times` over.

    `package` is one with a file whose base64 is ``QUJD``.
    """
    token = "QUJD"
    root = etree.fromstring(package)
    before, after = canonical(root.getroottree(), C14N).split(f">{token}<".encode())
    digest = hashlib.sha256(before + b">")
    for _ in range(times):
        digest.update(content)
    digest.update(b"<" + after)
    signature = _signature(digest.digest(), by, Form())
    root.find("{*}edXMLEnvelope/{*}edXMLHeader").append(signature)
    info = signature.find(f"{{{DS}}}SignedInfo")
    value = _value(canonical_part(info, C14N), by, Form())
    signature.find(f"{{{DS}}}SignatureValue").text = base64.b64encode(value).decode()
    before, after = etree.tostring(root, encoding="UTF-8").split(f">{token}<".encode())
    with path.open("wb") as file:
        file.write(before + b">")
        for _ in range(times):
            file.write(content)
        file.write(b"<" + after)


def canonical(tree: etree._ElementTree, form: str) -> bytes:
    """A whole document in a canonical form."""
    comments = form.endswith("WithComments")
    exclusive = form.removesuffix("WithComments") == EXCLUSIVE
    return etree.tostring(tree, method="c14n", exclusive=exclusive, with_comments=comments)


def canonical_part(element: etree._Element, form: str) -> bytes:
    """One element in a canonical form, by way of a document of its own."""
    return canonical(etree.ElementTree(etree.fromstring(etree.tostring(element))), form)


def _signature(digest: bytes, by: Credential, form: Form) -> etree._Element:
    transforms = form.transforms if form.transforms is not None else (ENVELOPED, form.canonical)
    uri = "" if form.uri is None else f' URI="{form.uri}"'
    reference = (
        f"<Reference{uri}><Transforms>"
        + "".join(f'<Transform Algorithm="{one}"/>' for one in transforms)
        + f'</Transforms><DigestMethod Algorithm="{DIGESTS[form.digest_name]}"/>'
        f"<DigestValue>{base64.b64encode(digest).decode()}</DigestValue></Reference>"
    )
    return etree.fromstring(
        f'<Signature xmlns="{DS}"><SignedInfo>'
        f'<CanonicalizationMethod Algorithm="{form.info_canonical}"/>'
        f'<SignatureMethod Algorithm="{form.method or _method(by, form)}"/>'
        f"{reference * form.references}</SignedInfo>"
        f"<SignatureValue/>{_key_info(by, form)}{form.inside}</Signature>"
    )


def _method(by: Credential, form: Form) -> str:
    if form.hmac_secret is not None:
        return MORE + "hmac-sha256"
    kind = "rsa" if isinstance(by.key, rsa.RSAPrivateKey) else "ecdsa"
    return (DS if form.hash_name == "sha1" else MORE) + f"{kind}-{form.hash_name}"


def _key_info(by: Credential, form: Form) -> str:
    given = form.certificates
    if given is None:
        given = [by.der, *(one.public_bytes(Encoding.DER) for one in by.chain)]
    inside = "".join(
        f"<X509Certificate>{base64.b64encode(one).decode()}</X509Certificate>" for one in given
    )
    data = f"<X509Data>{inside}</X509Data>" if inside else ""
    if form.key_value_of is not None:
        numbers = form.key_value_of.certificate.public_key().public_numbers()
        data += (
            f"<KeyValue><RSAKeyValue><Modulus>{_number(numbers.n)}</Modulus>"
            f"<Exponent>{_number(numbers.e)}</Exponent></RSAKeyValue></KeyValue>"
        )
    return f"<KeyInfo>{data}</KeyInfo>" if data else ""


def _number(value: int) -> str:
    return base64.b64encode(value.to_bytes((value.bit_length() + 7) // 8)).decode()


def _value(signed_info: bytes, by: Credential, form: Form) -> bytes:
    if form.hmac_secret is not None:
        return hmac.new(form.hmac_secret, signed_info, "sha256").digest()
    algorithm = _HASHES[form.hash_name]()
    if isinstance(by.key, rsa.RSAPrivateKey):
        return by.key.sign(signed_info, padding.PKCS1v15(), algorithm)
    r, s = utils.decode_dss_signature(by.key.sign(signed_info, ec.ECDSA(algorithm)))
    half = (by.key.key_size + 7) // 8
    return r.to_bytes(half) + s.to_bytes(half)
