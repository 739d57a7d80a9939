"""One pool of connections for all requests to GitHub.

githubkit makes an HTTP client for each request and closes it afterwards, and with it the connections and
the certificates it has just read. This transport stays open when a client that borrowed it is closed.
"""

from __future__ import annotations

import ssl
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import httpx

CONNECTIONS_MAX = 20


class KeptTransport(httpx.BaseTransport):
    """An `httpx.HTTPTransport` whose `close` does nothing; `shut` closes it.

    Args:
        url: The server it is for; decides on the proxy, as the environment says.
    """

    def __init__(self, url: str) -> None:
        self._inner = httpx.HTTPTransport(
            verify=ssl.create_default_context(),
            proxy=_proxy(url),
            limits=httpx.Limits(max_connections=CONNECTIONS_MAX, keepalive_expiry=30.0),
        )

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Pass it on."""
        return self._inner.handle_request(request)

    def close(self) -> None:
        """Nothing: another client will use the connections."""

    def shut(self) -> None:
        """Close the connections."""
        self._inner.close()


def _proxy(url: str) -> str | None:
    parts = urlsplit(url)
    if proxy_bypass(parts.hostname or ""):
        return None
    proxies = getproxies()
    return proxies.get(parts.scheme) or proxies.get("all")
