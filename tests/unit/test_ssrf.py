"""The guard against server-side request forgery: what URLs are taken, and what addresses may be connected to."""

from __future__ import annotations

from ipaddress import IPv4Address, ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.errors import ConfigError, PermanentError
from infrastructure.channels.ssrf import AddressGuard, Target

FORBIDDEN = [
    "127.0.0.1",
    "127.8.9.10",
    "0.0.0.0",  # noqa: S104 - an address to refuse, nothing is bound
    "10.0.0.1",
    "172.16.0.1",
    "192.168.1.1",
    "100.64.0.1",
    "169.254.169.254",
    "192.0.2.1",
    "198.18.0.1",
    "224.0.0.1",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "fe80::1",
    "fe80::1%eth0",
    "fc00::1",
    "fd00:ec2::254",
    "fec0::1",
    "ff02::1",
    "2001:db8::1",
    "::ffff:127.0.0.1",
    "::ffff:169.254.169.254",
    "::127.0.0.1",
    "64:ff9b::7f00:1",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::a00:1",
    "2002:7f00:1::",
    "2002:a9fe:a9fe::1",
    "2001:0:808:808:0:0:80ff:fffe",  # teredo, client 127.0.0.1
]
PERMITTED = ["8.8.8.8", "1.1.1.1", "2606:4700:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808", "2002:808:808::1"]


@pytest.mark.parametrize("address", FORBIDDEN)
def test_what_is_not_public_is_refused(address: str) -> None:
    with pytest.raises(PermanentError, match="forbidden_address"):
        AddressGuard("").check([ip_address(address)])


@pytest.mark.parametrize("address", PERMITTED)
def test_public_addresses_are_permitted(address: str) -> None:
    assert AddressGuard("").check([ip_address(address)]) == [ip_address(address)]


@given(st.ip_addresses(v=4))
def test_an_ipv4_address_is_judged_the_same_in_every_ipv6_dress(inner: IPv4Address) -> None:
    guard, bits = AddressGuard(""), int(inner)
    dresses = [(0xFFFF << 32) | bits, (0x64FF9B << 96) | bits, (0x2002 << 112) | (bits << 80) | 1]
    assert {guard.permits(ip_address(dress)) for dress in dresses} == {guard.permits(inner)}


def test_what_the_operator_allows_is_permitted_and_nothing_beside() -> None:
    guard = AddressGuard("127.0.0.1/32, 10.1.0.0/16")
    assert guard.permits(ip_address("127.0.0.1"))
    assert guard.permits(ip_address("::ffff:127.0.0.1"))
    assert guard.permits(ip_address("10.1.2.3"))
    assert not guard.permits(ip_address("127.0.0.2"))
    assert not guard.permits(ip_address("::1"))


def test_of_several_addresses_only_the_permitted_ones_are_left() -> None:
    found = [ip_address("127.0.0.1"), ip_address("8.8.8.8"), ip_address("::1")]
    assert AddressGuard("").check(found) == [ip_address("8.8.8.8")]


def test_a_name_without_addresses_is_refused() -> None:
    with pytest.raises(PermanentError, match="forbidden_address"):
        AddressGuard("").check([])


def test_a_wrong_network_is_a_config_error() -> None:
    with pytest.raises(ConfigError, match="NOTIFY_WEBHOOK_ALLOW"):
        AddressGuard("127.0.0.1/99")


@pytest.mark.parametrize(
    ("url", "normal"),
    [
        ("https://Example.COM", "https://example.com/"),
        ("HTTPS://example.com:443/a?b=c#d", "https://example.com/a?b=c"),
        ("http://example.com:8080/x", "http://example.com:8080/x"),
        ("http://[2606:4700::1]:81/", "http://[2606:4700::1]:81/"),
        ("https://exämple.com/", "https://xn--exmple-cua.com/"),
    ],
)
def test_urls_have_one_normal_form(url: str, normal: str) -> None:
    assert Target.parse(url).url == normal
    assert Target.parse(normal).url == normal


@pytest.mark.parametrize(
    "url",
    [
        "",
        "example.com",
        "ftp://example.com/",
        "file:///etc/passwd",
        "http://",
        "http:///path",
        "http://exam ple.com/",
        "http://example.com/\r\nX-Evil: 1",
        "http://example.com\\@127.0.0.1/",
        "http://example.com:0/",
        "http://example.com:99999/",
        "http://[::1",
        "javascript:alert(1)",
        "http://\0/",
    ],
)
def test_what_is_no_http_url_is_an_invalid_address(url: str) -> None:
    with pytest.raises(PermanentError, match="invalid_address"):
        Target.parse(url)


@pytest.mark.parametrize("url", ["http://user@example.com/", "http://user:pass@example.com/"])
def test_a_user_in_the_url_is_forbidden(url: str) -> None:
    with pytest.raises(PermanentError, match="forbidden_address"):
        Target.parse(url)
