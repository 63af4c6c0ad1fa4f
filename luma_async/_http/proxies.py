"""The proxy for an address: the proxy that was set, that of the environment, or none.

aiohttp reads the environment too, but only together with `~/.netrc`. A password in that file for the service would
replace the API key, and a password for a file server would be sent along with a signed link.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING
from urllib.request import getproxies, proxy_bypass

from luma_async._http.address import is_loopback
from luma_async.values.errors import ConfigurationError
from luma_async.values.redaction import Secret

if TYPE_CHECKING:
    from yarl import URL


class Proxies:
    """Finds the proxy for an address.

    Args:
        proxy: the proxy for every address, if it is set.
        trust_env: whether the environment is used otherwise: `HTTP_PROXY`, `HTTPS_PROXY`, `NO_PROXY`, or the
            settings of the system.
    """

    def __init__(self, proxy: Secret | None = None, *, trust_env: bool = False) -> None:
        # An address of a proxy may hold a password.
        self._proxy = proxy
        self._trust_env = trust_env
        self._found: dict[tuple[str, str], Secret | None] = {}

    async def before(self, url: URL) -> str | None:
        """Return the proxy for an address; the environment is read once for each host.

        Raises:
            ConfigurationError: the environment names a proxy of a kind that is not supported, such as SOCKS.
        """
        if self._proxy is not None or not self._trust_env or url.host is None:
            return _reveal(self._proxy)
        place = url.scheme, url.host
        if place not in self._found:
            # Some systems ask a name server whether the host is an exception, which may block.
            self._found[place] = await asyncio.to_thread(_of_environment, *place)
        return _reveal(self._found[place])


def _reveal(proxy: Secret | None) -> str | None:
    return None if proxy is None else proxy.reveal()


def _of_environment(scheme: str, host: str) -> Secret | None:
    # To a proxy, a loopback address would mean the proxy's own machine.
    direct = is_loopback(host) or proxy_bypass(host)
    proxy = None if direct else getproxies().get(scheme)
    if not proxy:
        return None
    proxy = proxy if "://" in proxy else f"http://{proxy}"
    kind, _, place = proxy.partition("://")
    if kind.lower() not in {"http", "https"}:
        raise ConfigurationError(
            message=f"The proxy that the environment sets for {scheme}:// is {kind}://{place.rpartition('@')[2]}, and "
            f"{kind} proxies are not supported. Set {scheme}_proxy to an HTTP proxy, add {host} to no_proxy, or pass "
            "trust_env=False."
        )
    return Secret(proxy)
