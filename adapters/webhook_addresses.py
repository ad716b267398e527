"""Where callbacks may go: the public internet, or networks an operator named (reliability 2.7).

An endpoint's URL comes from outside, so it could point the gateway at itself, at its neighbours or
at a cloud's metadata service. The URL is looked at when it is registered, and every *address* right
before it is dialled: what a name resolved to earlier proves nothing.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass

from yarl import URL

from envelopes.findings import Sentence

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

#: Ports that callbacks go to on the public internet.
PORTS = (443, 8443)
LONGEST_URL = 2000
#: A wider network on an allow-list is a mistake.
WIDEST = {4: 8, 6: 7}

_ENDS_IN_NUMBER = re.compile(r"(?:^|\.)(?:\d+|0[xX][0-9a-fA-F]*)\.?$")


@dataclass(frozen=True, slots=True)
class Allowed:
    """We may dial this address."""

    address: Address


@dataclass(frozen=True, slots=True)
class Blocked:
    """We may not, and why: a code for programs, a sentence for people."""

    code: str
    sentence: Sentence


def _networks(*texts: str) -> tuple[Network, ...]:
    return tuple(ipaddress.ip_network(text) for text in texts)


#: No service can be there: not even an operator's allow-list opens these.
_NEVER = {
    # Dialling 0.0.0.0 or :: reaches this very machine.
    "unspecified": _networks("0.0.0.0/8", "::/128"),
    "multicast": _networks("224.0.0.0/4", "ff00::/8"),
    "broadcast": _networks("255.255.255.255/32"),
}
#: Special ranges (IANA registries), some of which `is_global` lets through on Python 3.11.
_DENIED = {
    "loopback": _networks("127.0.0.0/8", "::1/128"),
    "private": _networks("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7", "fec0::/10"),
    # Where clouds answer with credentials.
    "link-local": _networks("169.254.0.0/16", "fe80::/10"),
    "cloud-host": _networks("168.63.129.16/32"),
    "shared": _networks("100.64.0.0/10"),
    # An IPv4 address in disguise: the translator decides where it leads.
    "translated": _networks(
        "64:ff9b::/96", "64:ff9b:1::/48", "2002::/16", "2001::/32", "::/96", "192.88.99.0/24"
    ),
    "documentation": _networks(
        "192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "2001:db8::/32", "3fff::/20"
    ),
    "reserved": _networks("192.0.0.0/24", "198.18.0.0/15", "240.0.0.0/4", "2001::/23", "3ffe::/16"),
}
_GLOBAL_UNICAST = ipaddress.ip_network("2000::/3")

_KINDS = {
    "unspecified": ("địa chỉ trống", "an unspecified address"),
    "multicast": ("địa chỉ multicast", "a multicast address"),
    "broadcast": ("địa chỉ broadcast", "a broadcast address"),
    "loopback": ("chính máy chủ này", "this machine itself"),
    "private": ("mạng nội bộ", "a private network"),
    "link-local": ("mạng liên kết cục bộ", "a link-local network"),
    "cloud-host": ("máy chủ hạ tầng đám mây", "the cloud's own host"),
    "shared": ("mạng dùng chung của nhà mạng", "a carrier's shared network"),
    "translated": ("địa chỉ IPv4 ẩn trong IPv6", "an IPv4 address in disguise"),
    "documentation": ("dải chỉ dùng làm ví dụ", "a range for examples only"),
    "reserved": ("dải dành riêng", "a reserved range"),
}


def parse_network(text: str) -> Network | Blocked:
    """A network of an allow-list, written as CIDR; a plain address is itself alone."""
    try:
        network = ipaddress.ip_network(text.strip())
    except ValueError as error:
        return _blocked("network", f"không phải mạng CIDR: {text}", f"no network in CIDR: {error}")
    if network.prefixlen < WIDEST[network.version]:
        widest = WIDEST[network.version]
        return _blocked(
            "network",
            f"mạng {network} quá rộng; rộng nhất là /{widest}",
            f"{network} is too wide; the widest is /{widest}",
        )
    return network


def networks_of(texts: Sequence[str]) -> tuple[Network, ...]:
    """The networks of a stored allow-list. What is none allows nothing."""
    parsed = (parse_network(text) for text in texts)
    return tuple(one for one in parsed if not isinstance(one, Blocked))


def check_address(
    ip: str, port: int, allowed: Sequence[Network], *, tls: bool = True
) -> Allowed | Blocked:
    """Whether `ip` may be dialled on `port`.

    Inside `allowed` any port goes, with TLS or without; elsewhere TLS on one of `PORTS`.
    """
    address = _address_of(ip)
    if isinstance(address, Blocked):
        return address
    never = _kind_in(_NEVER, address)
    if never is not None:
        return _blocked_address(never, address)
    if any(address in network for network in allowed if network.version == address.version):
        return Allowed(address)
    kind = _kind_in(_DENIED, address) or _other_kind(address)
    if kind is not None:
        return _blocked_address(kind, address)
    return _check_manner(port, tls) or Allowed(address)


def _address_of(ip: str) -> Address | Blocked:
    try:
        address = ipaddress.ip_address(ip)
    except ValueError:
        return _blocked("notation", f"{ip!r} không phải địa chỉ IP", f"{ip!r} is no IP address")
    if isinstance(address, ipaddress.IPv6Address):
        if address.scope_id is not None:
            return _blocked_address("link-local", address)
        return address.ipv4_mapped or address
    return address


def _kind_in(kinds: dict[str, tuple[Network, ...]], address: Address) -> str | None:
    for kind, networks in kinds.items():
        if any(address in network for network in networks if network.version == address.version):
            return kind
    return None


def _other_kind(address: Address) -> str | None:
    """What the tables above do not name and still is not the public internet."""
    outside = address.version == 6 and address not in _GLOBAL_UNICAST
    return "reserved" if outside or not address.is_global else None


def _check_manner(port: int, tls: bool) -> Blocked | None:
    if not tls:
        return _blocked(
            "not-https",
            "ngoài các mạng được phép chỉ gửi qua https",
            "outside the allowed networks callbacks go over https only",
        )
    if port not in PORTS:
        ports = ", ".join(str(one) for one in PORTS)
        return _blocked(
            "port",
            f"cổng {port} không được phép; các cổng được phép: {ports}",
            f"port {port} is not allowed; allowed: {ports}",
        )
    return None


def check_url(text: str, allowed: Sequence[Network]) -> URL | Blocked:
    """The URL as it will be requested, or why it cannot be an endpoint.

    Read with the parser that the HTTP client uses, so that both see the same host. Names are not
    resolved here.
    """
    url = _parsed(text)
    if isinstance(url, Blocked):
        return url
    host, port = url.raw_host or "", url.port or 0
    if ":" not in host and _ENDS_IN_NUMBER.search(host) and not _is_plain_ipv4(host):
        return _blocked(
            "notation",
            f"địa chỉ {host} phải viết dạng a.b.c.d",
            f"write the address {host} as a.b.c.d",
        )
    tls = url.scheme == "https"
    if ":" in host or _is_plain_ipv4(host):
        answer = check_address(host, port, allowed, tls=tls)
        return answer if isinstance(answer, Blocked) else url
    # A name may lead into an allowed network; otherwise what is wrong now will be wrong later.
    return (None if allowed else _check_manner(port, tls)) or url


def _parsed(text: str) -> URL | Blocked:
    plain = text.isascii() and text.isprintable() and not any(char in text for char in ' \\"<>')
    if not plain or not text or len(text) > LONGEST_URL:
        return _blocked(
            "url",
            f"URL gồm 1 đến {LONGEST_URL} ký tự ASCII, không có khoảng trắng",
            f"a URL has 1 to {LONGEST_URL} ASCII characters and no spaces (names as xn--…)",
        )
    try:
        url = URL(text)
        host = url.raw_host
        known = url.scheme in ("https", "http") and url.port is not None
    except ValueError as error:
        return _blocked("url", f"không đọc được URL: {error}", f"cannot read the URL: {error}")
    if not known or not host:
        return _blocked("url", "URL phải là https://máy-chủ/…", "write the URL as https://host/…")
    if url.raw_user is not None or url.raw_password is not None or "@" in url.raw_authority:
        return _blocked(
            "credentials",
            "URL không được chứa tên đăng nhập hay mật khẩu",
            "the URL must not hold a user name or password",
        )
    return url.with_fragment(None)


def _is_plain_ipv4(host: str) -> bool:
    try:
        return str(ipaddress.IPv4Address(host)) == host
    except ValueError:
        return False


def _blocked_address(kind: str, address: Address) -> Blocked:
    vi, en = _KINDS[kind]
    return _blocked(
        kind,
        f"không được gửi đến {address}: {vi}, không có trong danh sách mạng được phép",
        f"{address} must not be called: {en}, not on the list of allowed networks",
    )


def _blocked(code: str, vi: str, en: str) -> Blocked:
    return Blocked(code, Sentence(vi=vi, en=en))
