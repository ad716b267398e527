"""`lienthong trust …` on a folder of the test's own."""

from __future__ import annotations

import shlex
from pathlib import Path

from gateway import clock
from tests.support.pki import pki
from tests.support.pki_server import PkiServer
from tests.unit.gateway.cli_runner import Lienthong


def _file(folder: Path, data: bytes, name: str = "c.pem") -> Path:
    (folder / name).write_bytes(data)
    return folder / name


def test_what_was_imported_is_listed(lienthong: Lienthong) -> None:
    """Anchors of all profiles and of one, intermediates, and certificates of an agency."""
    p, folder = pki(), lienthong.folder
    lienthong("trust", "import", _file(folder, p.root.credential.pem))
    lienthong("trust", "import", _file(folder, p.stranger.credential.pem), "--profile", "kon-tum")
    lienthong("trust", "import", _file(folder, p.government.credential.der), "--intermediate")
    lienthong("trust", "import", _file(folder, p.agency.pem), "--agency", "000.00.00.H41")
    shown = lienthong("trust", "list").stdout
    assert "UBND tỉnh Kon Tum" in shown
    found = lienthong.json("trust", "list")["certificates"]
    assert [(one["role"], one["owner"]) for one in found] == [
        ("anchor", ""),
        ("anchor", "kon-tum"),
        ("intermediate", ""),
        ("agency", "H41"),
    ]


def test_wrong_files_and_codes_change_nothing(lienthong: Lienthong) -> None:
    """What is no certificate, no code or no profile is wrong use."""
    good, bad = _file(lienthong.folder, pki().agency.pem), _file(lienthong.folder, b"?", "b.pem")
    lienthong("trust", "import", bad, code=2)
    lienthong("trust", "import", good, "--agency", "không phải mã", code=2)
    lienthong("trust", "import", good, "--profile", "../x", code=2)
    lienthong("trust", "import", good, "--profile", "a", "--intermediate", code=2)
    assert lienthong.json("trust", "list")["certificates"] == []


def test_a_lost_key_is_suspended_and_resumed(lienthong: Lienthong) -> None:
    """By digest, by agency, or by a whole digest that the folder has never seen."""
    lienthong("trust", "import", _file(lienthong.folder, pki().agency.pem), "--agency", "H41")
    sha256 = pki().agency.sha256
    shown = lienthong("trust", "suspend", "H41", "--reason", "mất thẻ").stdout
    assert sha256[:16] in shown
    (one,) = lienthong.json("trust", "list")["certificates"]
    assert one["suspendedWhy"] == "mất thẻ"
    lienthong("trust", "resume", sha256[:12])
    (one,) = lienthong.json("trust", "list")["certificates"]
    assert one["suspendedSince"] is None
    lienthong("trust", "suspend", "ab" * 32, "--reason", "mất thẻ")
    lienthong("trust", "suspend", "nobody", "--reason", "mất thẻ", code=1)


def test_what_runs_out_is_an_exit_code(lienthong: Lienthong) -> None:
    """A timer of the operator can watch it: 1 where something runs out, 0 where nothing does."""
    lienthong("trust", "import", _file(lienthong.folder, pki().root.credential.pem))
    assert lienthong("trust", "expiring", "--days", "30").exit_code == 0
    lienthong("trust", "import", _file(lienthong.folder, pki().expired.pem), "--agency", "H41")
    found = lienthong("trust", "expiring", "--days", "30", code=1)
    assert "UBND tỉnh Kon Tum" in found.stdout


def test_a_broken_file_in_the_folder_is_told(lienthong: Lienthong) -> None:
    """What the gateway cannot read is named, with exit code 1."""
    folder = lienthong.data / "trust" / "anchors"
    folder.mkdir(parents=True)
    (folder / "x.pem").write_text("no certificate")
    assert "x.pem" in lienthong("trust", "list", code=1).stderr


def test_lists_are_fetched_on_demand(lienthong: Lienthong) -> None:
    """Only from a host that is named; what does not come is an exit code."""
    p = pki()
    lienthong("trust", "import", _file(lienthong.folder, p.root.credential.pem))
    with PkiServer(p.root, p.tsa, clock.now()) as server:
        url = server.url("/x.crl")
        lienthong("trust", "refresh", "--host", server.host, "--url", url)
        lienthong("trust", "refresh", "--host", "else.test", "--url", server.url("/y.crl"), code=1)
    assert list((lienthong.data / "trust" / "revocation").glob("*.crl"))


def test_what_the_page_tells_to_type_works(lienthong: Lienthong) -> None:
    """The commands of docs/trust.md, but for the one that goes out to the network."""
    p, folder = pki(), lienthong.folder
    files = {
        "root-ca.pem": p.root.credential.pem,
        "province-ca.pem": p.stranger.credential.pem,
        "agency.pem": p.agency.pem,
    }
    page = (Path(__file__).parents[3] / "docs" / "trust.md").read_text("utf-8")
    lines = [shlex.split(line)[1:] for line in page.splitlines() if line.startswith("lienthong ")]
    assert len(lines) >= 6
    for words in lines:
        if "refresh" in words:
            continue
        known = [_file(folder, files[one], one) if one in files else one for one in words]
        lienthong(*known)
