"""Who a request comes from, where proxies are in between."""

from __future__ import annotations

import ipaddress

from flask import Request

from github_app import services
from github_app.parsers import Network


def client(request: Request) -> str:
    """The address of whoever asks: the last one that is none of our proxies'; of IPv6 the network around it.

    Each proxy appends whom it heard from to `X-Forwarded-For`. What stands left of the first stranger may be
    invented, so it is not looked at.
    """
    trusted = services.current().settings.trusted_proxies
    forwarded = request.headers.get("X-Forwarded-For", "")
    hops = [*(hop.strip() for hop in forwarded.split(",") if hop.strip()), request.remote_addr or ""]
    while len(hops) > 1 and _is_trusted(hops[-1], trusted):
        hops.pop()
    return _customer(hops[-1][:100])


def _customer(address: str) -> str:
    """What one customer of a provider has: an address, or of IPv6 a network of 64 bits, with all in it."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if found.version == 4 or found.is_loopback:
        return address
    if found.ipv4_mapped is not None:
        return str(found.ipv4_mapped)
    return str(ipaddress.ip_network((found, 64), strict=False))


def is_loopback(address: str) -> bool:
    """Whether it is this machine's own; so is none, which a Unix socket has."""
    try:
        return not address or ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False


def _is_trusted(address: str, networks: tuple[Network, ...]) -> bool:
    if is_loopback(address):
        return True
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return False
    return any(found in network for network in networks)
