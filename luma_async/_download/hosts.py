"""Which hosts files may be fetched from, and which host is the service itself.

A link is written by the service, or by the service behind a relay. Without a rule it could make this machine request
an address that only this machine can reach, such as a router or the metadata of a cloud server. So an address in a
network of the kinds below is used only if the service is in a network of the same kind.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import TYPE_CHECKING, Literal, TypeAlias

from luma_async._http.address import is_loopback

if TYPE_CHECKING:
    from yarl import URL

Network: TypeAlias = Literal["loopback", "link-local", "private"]
"""A kind of network that is not the internet."""

_NAT64 = ip_network("64:ff9b::/96")


def network_of(host: str) -> Network | None:
    """Return the kind of network that an address is in; None for the internet, and for a name."""
    if is_loopback(host):
        return "loopback"
    try:
        address = _embedded(ip_address(host))
    except ValueError:
        return None
    # A connection to 0.0.0.0 reaches this machine.
    if address.is_loopback or address.is_unspecified:
        return "loopback"
    if address.is_link_local:
        return "link-local"
    return None if address.is_global else "private"


def _embedded(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """Return the IPv4 address that an IPv6 address leads to, or the address itself."""
    if isinstance(address, IPv4Address):
        return address
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or address


def same_origin(url: URL, base_url: URL) -> bool:
    """Whether an address has the scheme, host and port of the service, as aiohttp will read it."""
    return (url.scheme, url.raw_host, url.port) == (base_url.scheme, base_url.raw_host, base_url.port)
