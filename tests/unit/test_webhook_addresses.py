"""Where callbacks may go; nothing is dialled here: the dialler of these tests only records."""

from __future__ import annotations

import socket
from typing import Any

import pytest
from aiohttp.abc import AbstractResolver, ResolveResult

from adapters.dialling import AddressInfo
from adapters.webhook import WebhookSender
from adapters.webhook_addresses import (
    Allowed,
    Blocked,
    check_address,
    check_url,
    networks_of,
    parse_network,
)
from routing.callbacks import PostOutcome

PUBLIC = ["93.184.216.34", "8.8.8.8", "1.1.1.1", "203.162.0.1", "2606:4700::1111", "2001:4860::8"]

FORBIDDEN = {
    "unspecified": ["0.0.0.0", "0.1.2.3", "::", "::ffff:0.0.0.0"],
    "loopback": ["127.0.0.1", "127.255.255.254", "::1", "::ffff:127.0.0.1", "::ffff:7f00:1"],
    "private": [
        "10.0.0.1",
        "172.16.0.1",
        "172.31.255.255",
        "192.168.1.1",
        "::ffff:10.0.0.1",
        "fc00::1",
        "fd12:3456::1",
        "fec0::1",
    ],
    "link-local": ["169.254.169.254", "::ffff:169.254.169.254", "fe80::1", "fe80::1%eth0"],
    "cloud-host": ["168.63.129.16"],
    "shared": ["100.64.0.1", "100.127.255.255", "100.100.100.200"],
    "translated": [
        "64:ff9b::7f00:1",
        "64:ff9b::8.8.8.8",
        "64:ff9b:1::1",
        "2002:7f00:1::",
        "2002:808:808::1",
        "2001:0:4136:e378:8000:63bf:3fff:fdd2",
        "::127.0.0.1",
        "::8.8.8.8",
        "192.88.99.1",
    ],
    "documentation": ["192.0.2.1", "198.51.100.1", "203.0.113.9", "2001:db8::1", "3fff::1"],
    "multicast": ["224.0.0.1", "239.255.255.255", "ff02::1", "ff0e::1", "::ffff:224.0.0.1"],
    "broadcast": ["255.255.255.255"],
    "reserved": [
        "240.0.0.1",
        "192.0.0.8",
        "198.18.0.1",
        "198.19.255.255",
        "2001:2::1",
        "2001:10::1",
        "2001:20::1",
        "3ffe::1",
        "100::1",
        "4000::1",
        "5f00::1",
    ],
    "notation": ["127.1", "0177.0.0.1", "2130706433", "0x7f.1", "localhost", "", "127.0.0.01"],
}
ALL_FORBIDDEN = [(kind, ip) for kind, ips in FORBIDDEN.items() for ip in ips]


@pytest.mark.parametrize(("kind", "ip"), ALL_FORBIDDEN)
def test_forbidden_addresses(kind: str, ip: str) -> None:
    """Each is blocked, with its own reason in both languages."""
    answer = check_address(ip, 443, ())
    assert isinstance(answer, Blocked) and answer.code == kind
    assert answer.sentence.vi and answer.sentence.en


@pytest.mark.parametrize("ip", PUBLIC)
def test_the_public_internet_is_open(ip: str) -> None:
    """On the two ports of https, and no others."""
    assert isinstance(check_address(ip, 443, ()), Allowed)
    assert isinstance(check_address(ip, 8443, ()), Allowed)
    for port in (80, 22, 25, 6379, 5432, 0):
        answer = check_address(ip, port, ())
        assert isinstance(answer, Blocked) and answer.code == "port"
    plain = check_address(ip, 443, (), tls=False)
    assert isinstance(plain, Blocked) and plain.code == "not-https"


def test_the_table_is_large_enough() -> None:
    """No row was lost by accident."""
    assert len(ALL_FORBIDDEN) >= 40


def test_an_allow_list_opens_its_networks_and_nothing_else() -> None:
    """Any port and plain http inside; the neighbour address is as closed as before."""
    allowed = networks_of(["10.1.2.0/24", "fd00:1::/32"])
    for ip in ("10.1.2.3", "::ffff:10.1.2.3", "fd00:1::9"):
        assert isinstance(check_address(ip, 8080, allowed, tls=False), Allowed)
    for ip in ("10.1.3.1", "fd00:2::1", "127.0.0.1", "169.254.169.254"):
        assert isinstance(check_address(ip, 443, allowed), Blocked)
    public = check_address("8.8.8.8", 8080, allowed)
    assert isinstance(public, Blocked) and public.code == "port"


@pytest.mark.parametrize("ip", [*FORBIDDEN["unspecified"], *FORBIDDEN["multicast"]])
def test_no_allow_list_opens_what_no_service_can_be_at(ip: str) -> None:
    """Dialling 0.0.0.0 reaches this machine, whatever the operator meant."""
    everything = networks_of(["0.0.0.0/8", "224.0.0.0/8", "239.0.0.0/8", "fc00::/7", "ff00::/8"])
    assert isinstance(check_address(ip, 443, everything), Blocked)


@pytest.mark.parametrize("text", ["0.0.0.0/0", "10.0.0.0/7", "::/0", "10.0.0.1/8", "x", "", "10/8"])
def test_networks_that_an_operator_cannot_mean(text: str) -> None:
    """Whole internets, host bits and nonsense are refused; stored ones allow nothing."""
    assert isinstance(parse_network(text), Blocked)
    assert networks_of([text]) == ()


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("", "url"),
        ("ftp://example.vn/", "url"),
        ("file:///etc/passwd", "url"),
        ("gopher://127.0.0.1:6379/_", "url"),
        ("//example.vn/x", "url"),
        ("https:///x", "url"),
        ("https://exa mple.vn/", "url"),
        ("https://example.vn/\r\nX: y", "url"),
        ("https://example.vn\\@127.0.0.1/", "url"),
        ("https://①②⑦.0.0.1/", "url"),
        ("https://127。0。0。1/", "url"),
        ("https://example.vn:99999/", "url"),
        ("https://[::1", "url"),
        ("https://" + "a" * 2100, "url"),
        ("https://user@example.vn/", "credentials"),
        ("https://user:secret@example.vn/", "credentials"),
        ("https://:x@example.vn/", "credentials"),
        ("https://2130706433/", "notation"),
        ("https://127.1/", "notation"),
        ("https://0x7f000001/", "notation"),
        ("https://0x7f.0.0.1/", "notation"),
        ("https://0177.0.0.1/", "notation"),
        ("https://127.0.0.1./", "notation"),
        ("https://example.0x/", "notation"),
        ("https://127.0.0.1/", "loopback"),
        ("https://[::1]/", "loopback"),
        ("https://[::ffff:127.0.0.1]/", "loopback"),
        ("https://[fe80::1%25eth0]/", "link-local"),
        ("https://169.254.169.254/latest/meta-data/", "link-local"),
        ("http://example.vn/", "not-https"),
        ("https://example.vn:22/", "port"),
    ],
)
def test_urls_that_are_refused_at_once(url: str, code: str) -> None:
    """Before any name is looked up."""
    answer = check_url(url, ())
    assert isinstance(answer, Blocked) and answer.code == code, answer


def test_urls_that_are_accepted() -> None:
    """Names on https; plain http and other ports where a network is allowed."""
    for url in ("https://example.vn/cb?x=1", "https://xn--mi-9ta.vn:8443/", "https://8.8.8.8/"):
        assert str(check_url(url, ())) == url
    inside = networks_of(["10.0.0.0/8"])
    assert str(check_url("http://qlvb.local:8080/cb#x", inside)) == "http://qlvb.local:8080/cb"
    assert str(check_url("http://10.1.1.1:8080/", inside)) == "http://10.1.1.1:8080/"


# --- the sender, with a dialler that only records ---


class Recorder:
    """A dialler that never dials."""

    def __init__(self) -> None:
        self.addresses: list[str] = []

    def __call__(self, info: AddressInfo) -> socket.socket:
        self.addresses.append(str(info[4][0]))
        raise OSError("this test dials nothing")


class Names(AbstractResolver):
    """A resolver whose answers change: each look-up gets the next."""

    def __init__(self, *answers: list[str]) -> None:
        self._answers = list(answers)

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """The next answer."""
        found = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        kind = {True: socket.AF_INET6, False: socket.AF_INET}
        return [
            ResolveResult(
                hostname=host, host=ip, port=port, family=kind[":" in ip], proto=0, flags=0
            )
            for ip in found
        ]

    async def close(self) -> None:
        """Nothing to close."""


async def post(url: str, dialler: Recorder, allowed: tuple[str, ...] = (), **more: Any) -> Any:
    """Post through the real sender."""
    return await WebhookSender(dialler=dialler, **more).post(url, allowed, {}, b"{}")


DIALLABLE = [ip for kind, ip in ALL_FORBIDDEN if kind != "notation" and "%" not in ip and ip != ""]


@pytest.mark.parametrize("ip", DIALLABLE)
async def test_forbidden_addresses_are_never_dialled(ip: str) -> None:
    """Neither as a literal in the URL nor as what a name resolves to."""
    recorder = Recorder()
    literal = f"[{ip}]" if ":" in ip else ip
    direct = await post(f"https://{literal}/", recorder)
    by_name = await post("https://example.vn/", recorder, resolver=Names([ip]))
    assert direct.outcome is by_name.outcome is PostOutcome.BLOCKED
    assert recorder.addresses == []
    assert by_name.sentence.vi and "blocked" in by_name.detail


async def test_an_answer_that_changes_is_refused_when_it_is_dialled() -> None:
    """DNS rebinding: public at first, then the metadata service."""
    recorder = Recorder()
    names = Names(["93.184.216.34"], ["169.254.169.254"], ["127.0.0.1"])
    sender = WebhookSender(dialler=recorder, resolver=names)
    results = [await sender.post("https://evil.example/", (), {}, b"") for _ in range(3)]
    assert [one.outcome for one in results] == [
        PostOutcome.TRY_LATER,
        PostOutcome.BLOCKED,
        PostOutcome.BLOCKED,
    ]
    assert recorder.addresses == ["93.184.216.34"]


async def test_of_several_addresses_only_the_good_ones_are_dialled() -> None:
    """A private address beside a public one is passed over."""
    recorder = Recorder()
    names = Names(["10.0.0.1", "93.184.216.34", "::1", "64:ff9b::7f00:1"])
    result = await post("https://example.vn/", recorder, resolver=names)
    assert set(recorder.addresses) == {"93.184.216.34"}
    assert result.outcome is PostOutcome.TRY_LATER


async def test_names_that_lead_out_of_the_allowed_network_get_no_http() -> None:
    """http to a public address is blocked when it is dialled, allow-list or not."""
    recorder = Recorder()
    names = Names(["93.184.216.34"])
    result = await post("http://qlvb.local:8080/", recorder, ("10.0.0.0/8",), resolver=names)
    assert result.outcome is PostOutcome.BLOCKED and "not-https" in result.detail
    names = Names(["10.9.9.9"])
    await post("http://qlvb.local:8080/", recorder, ("10.0.0.0/8",), resolver=names)
    assert recorder.addresses == ["10.9.9.9"]


async def test_proxies_of_the_environment_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """HTTPS_PROXY would otherwise carry the request anywhere."""
    for name in ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    recorder = Recorder()
    await post("https://example.vn/", recorder, resolver=Names(["93.184.216.34"]))
    assert recorder.addresses == ["93.184.216.34"]
