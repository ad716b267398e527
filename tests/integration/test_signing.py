"""What the gateway signs with keys in files and in tokens verifies, and only as it was signed."""

from __future__ import annotations

import asyncio
import base64
import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cryptography import x509
from signxml import XMLVerifier
from signxml.verifier import SignatureConfiguration

from adapters.signatures.receipts import check_json
from adapters.signing import Pkcs11Key, Pkcs12Key, Signer, SigningKey, SigningProblem, TokenKey
from adapters.trust import TrustMaterial
from envelopes.json_signature import verify
from envelopes.read import read_package
from envelopes.signature_facts import Reason, SignatureOutcome
from envelopes.xml_signature import check_file
from tests.support.pki import NOW, Credential, pki
from tests.support.signature_case import trusted
from tests.support.softhsm import LIBRARY, PIN, TOKEN, SoftHsm
from tests.unit.envelopes.packages import good_bytes

VALID, INVALID = SignatureOutcome.VALID, SignatureOutcome.INVALID
RECEIPT = json.dumps({"digest": "ab" * 32, "at": NOW.isoformat()}).encode()
KIND = "lienthong-receipt+jws"


@pytest.fixture(scope="session")
def token(tmp_path_factory: pytest.TempPathFactory) -> SoftHsm:
    """A token with the agency's keys, RSA and EC."""
    made = SoftHsm(tmp_path_factory.mktemp("softhsm"))
    made.put(pki().agency, "rsa", 1)
    made.put(pki().on_curve, "ec", 2)
    return made


def _token_key(label: str, pin: str = PIN) -> Pkcs11Key:
    return Pkcs11Key(TokenKey(LIBRARY, TOKEN, label, pin), pki().agency.chain)


def _file_key(credential: Credential) -> Pkcs12Key:
    return Pkcs12Key(credential.pkcs12("mật khẩu"), "mật khẩu")


KEYS: dict[str, Callable[[], SigningKey]] = {
    "PKCS#12 RSA": lambda: _file_key(pki().agency),
    "PKCS#12 EC": lambda: _file_key(pki().on_curve),
    "PKCS#11 RSA": lambda: _token_key("rsa"),
    "PKCS#11 EC": lambda: _token_key("ec"),
}


@pytest.fixture(params=KEYS)
def signer(request: pytest.FixtureRequest, token: SoftHsm) -> Iterator[Signer]:
    """A signer of each kind."""
    key = KEYS[request.param]()
    yield Signer(key)
    if isinstance(key, Pkcs11Key):
        key.close()


@pytest.mark.parametrize("name", ["status-01", "status-02", "status-06", "canonical-revocation"])
async def test_a_composed_package_is_signed_and_reads_as_before(signer: Signer, name: str) -> None:
    """Verified by our own check and by the library; the model is untouched."""
    package = good_bytes(name)
    signed = await signer.sign_package(package)
    found = check_file(io.BytesIO(signed))
    assert found.outcome is VALID, found
    assert len(found.others) == 1
    assert read_package([signed]).package == read_package([package]).package
    config = SignatureConfiguration(location="./{*}edXMLEnvelope/{*}edXMLHeader/")
    XMLVerifier().verify(signed, x509_cert=signer.certificate, expect_config=config)
    changed = signed.replace(b"</edXML:OrganName>", b".</edXML:OrganName>", 1)
    assert changed != signed
    assert check_file(io.BytesIO(changed)).reasons == (Reason.CHANGED,)


async def test_a_signed_or_strange_package_is_not_signed(token: SoftHsm) -> None:
    """Nothing is ever put inside what another has signed."""
    signer = Signer(_file_key(pki().agency))
    signed = await signer.sign_package(good_bytes("status-01"))
    with pytest.raises(SigningProblem):
        await signer.sign_package(signed)
    with pytest.raises(SigningProblem):
        await signer.sign_package(b"<a/>")


async def test_a_receipt_is_proved_offline(signer: Signer) -> None:
    """Payload, signer and kind come back; under another authority it proves nothing."""
    receipt = await signer.sign_json(RECEIPT, KIND)
    verdict, found = await check_json(receipt, NOW, trusted(pki()))
    assert verdict.outcome is VALID, verdict
    assert (found.payload, found.kind) == (RECEIPT, KIND)
    assert verdict.signer is not None
    assert verdict.signer.common_name == "UBND tỉnh Kon Tum"
    stranger = TrustMaterial(anchors=(pki().stranger.credential.der,))
    verdict, _ = await check_json(receipt, NOW, stranger)
    assert verdict.reasons == (Reason.UNTRUSTED,)


async def test_no_other_receipt_passes_for_a_genuine_one() -> None:
    """Each part of it changed, algorithms exchanged, headers grown: none is valid."""
    signer = Signer(_file_key(pki().agency))
    genuine = await signer.sign_json(RECEIPT, KIND)
    head, payload, value = genuine.split(b".")
    header = json.loads(base64.urlsafe_b64decode(head + b"=="))

    def with_header(**changes: object) -> bytes:
        new = json.dumps({**header, **changes}).encode()
        return b".".join((base64.urlsafe_b64encode(new).rstrip(b"="), payload, value))

    other = base64.urlsafe_b64encode(RECEIPT.replace(b"ab", b"ac")).rstrip(b"=")
    expected = {
        b".".join((head, other, value)): Reason.CHANGED,
        b".".join((head, payload, value[:-4] + b"AAAA")): Reason.CHANGED,
        with_header(alg="none"): Reason.ALGORITHM,
        with_header(alg="HS256"): Reason.ALGORITHM,
        with_header(alg="ES256"): Reason.CHANGED,
        with_header(typ="other"): Reason.CHANGED,
        with_header(jku="http://x.test/"): Reason.FORBIDDEN_FORM,
        with_header(crit=["b64"], b64=False): Reason.FORBIDDEN_FORM,
        with_header(x5c=[]): Reason.NO_CERTIFICATE,
        with_header(x5c=["?"]): Reason.MALFORMED,
        b".".join((head, payload)): Reason.MALFORMED,
        genuine + b"=": Reason.MALFORMED,
        b"\xff\x00": Reason.MALFORMED,
        b"[" * 100_000: Reason.MALFORMED,
    }
    for text, reason in expected.items():
        found = verify(text)
        assert found.signature.reasons == (reason,), text[:80]
        assert found.payload is None


async def test_many_signatures_at_once_from_one_token(token: SoftHsm) -> None:
    """Two keys of a token at work at once: all receipts verify, and the process lives.

    The library is not to be relied on with two threads; it ended a whole process once.
    """
    keys = [_token_key("rsa"), _token_key("ec")]
    signers = [Signer(key) for key in keys]
    made = await asyncio.gather(
        *(signers[one % 2].sign_json(b"%d" % one, KIND) for one in range(200))
    )
    for key in keys:
        key.close()
    assert [verify(one).payload for one in made] == [b"%d" % one for one in range(200)]


# The library's own cleaning up complains of the session that is gone.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
async def test_a_broken_session_is_opened_anew(token: SoftHsm) -> None:
    """A token that was pulled out and put back costs no restart."""
    key = _token_key("rsa")
    key._session.close()
    assert verify(await Signer(key).sign_json(RECEIPT, KIND)).payload == RECEIPT
    key.close()
    assert verify(await Signer(key).sign_json(RECEIPT, KIND)).payload == RECEIPT
    key.close()


def test_what_is_wrong_with_a_key_is_said_and_no_secret_with_it(
    token: SoftHsm, tmp_path: Path
) -> None:
    """Wrong password, wrong PIN, no such key, a key too small: named, the secret not."""
    with pytest.raises(SigningProblem, match="password"):
        Pkcs12Key(pki().agency.pkcs12("đúng"), "sai")
    with pytest.raises(SigningProblem):
        Pkcs12Key(b"no file", "x")
    with pytest.raises(SigningProblem, match="2048"):
        _file_key(pki().small)
    with pytest.raises(SigningProblem) as caught:
        _token_key("rsa", "999999")
    assert "999999" not in str(caught.value)
    with pytest.raises(SigningProblem, match="0 certificates"):
        _token_key("nobody")
    with pytest.raises(SigningProblem):
        Pkcs12Key.from_file(tmp_path / "none.p12", tmp_path / "none")
    (tmp_path / "password").write_bytes("mật khẩu".encode("utf-16"))
    with pytest.raises(SigningProblem, match="UTF-8") as caught:
        Pkcs12Key.from_file(tmp_path / "none.p12", tmp_path / "password")
    assert "0xff" not in str(caught.value)


def test_a_key_is_read_from_its_file_with_its_password_from_another(tmp_path: Path) -> None:
    """As the settings give them: two paths."""
    (tmp_path / "key.p12").write_bytes(pki().agency.pkcs12("mật khẩu"))
    (tmp_path / "password").write_text("mật khẩu\n", encoding="utf-8")
    key = Pkcs12Key.from_file(tmp_path / "key.p12", tmp_path / "password")
    assert isinstance(key.certificates[0], x509.Certificate)
