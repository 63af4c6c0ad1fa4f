"""The address of the service and its key: from the arguments, else from the environment.

Each of Luma's services has its own key, which is sent to its own host and nowhere else. A relay's key is never sent to
a host of Luma.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping
from ipaddress import ip_address
from typing import TYPE_CHECKING, cast
from urllib.parse import urlsplit

import attrs

from luma_async._wire import registry
from luma_async.values.errors import ConfigurationError
from luma_async.values.redaction import Secret

if TYPE_CHECKING:
    from collections.abc import Callable

    from luma_async._wire.dialect import Dialect

RELAY_KEY = "LUMA_API_KEY"
"""The variable with the key for every host that belongs to no dialect."""

_LUMA_DOMAIN = "lumalabs.ai"
_OFFICIAL_PATH = "/dream-machine/v1"
_OFFICIAL_KEY = "luma-"
"""The beginning of Luma's own keys. Source: its documentation of the header."""
_API_KEY = re.compile(r"[!-~]+")
_KEY_SHAPE = re.compile(r"(sk-|luma-)[!-~]+|[\w-]{20,}")
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_HEADER_VALUE = re.compile(r"[!-~]([ -~]*[!-~])?")
_OWN_HEADERS = frozenset(
    {"authorization", "content-type", "content-length", "transfer-encoding", "host", "accept-encoding", "connection"}
)
_DEFAULT_PORTS = {"http": 80, "https": 443}


@attrs.frozen(kw_only=True)
class Address:
    """A service and the key for it."""

    base_url: str
    """Scheme, host, port and path prefix, without a slash at the end."""
    api_key: Secret
    """The API key."""


def resolve(
    *,
    api_key: Secret | None,
    base_url: str | None,
    dialect: Dialect,
    variable: Callable[[str], str | None],
    allow_insecure: bool,
) -> Address:
    """Find the service and its key.

    Args:
        api_key: the argument of the session.
        base_url: the argument of the session.
        dialect: what the session speaks.
        variable: reads a variable of the environment.
        allow_insecure: whether the key may be sent unencrypted to another host than this machine.

    Raises:
        ConfigurationError: a setting is missing or invalid; the message names it.
    """
    base_url = _unwrap_typed(base_url, "base_url")
    api_key = _unwrap_key(api_key)
    named = base_url or usable_address(variable("LUMA_BASE_URL"), dialect, "LUMA_BASE_URL", warn=_warn)
    url = named or dialect.default_base_url
    if not url:
        raise ConfigurationError(
            message="No base URL: every relay has its own. "
            "Set LUMA_BASE_URL, or pass LumaSession(base_url='https://…') (--base-url)."
        )
    url = check_base_url(url, allow_insecure=allow_insecure).removesuffix(dialect.base_path)
    owner = registry.HOSTS.get(registry.host_of(url))
    if owner not in {None, dialect.name}:
        raise ConfigurationError(
            message=f"{url} does not speak the dialect {dialect.name}: {registry.advice_for_name(owner or '')}"
        )
    if owner is None and not base_url and api_key is not None and api_key.reveal().startswith(_OFFICIAL_KEY):
        raise ConfigurationError(
            message=f"The API key belongs to Luma, but LUMA_BASE_URL is {url}. "
            "Pass base_url as well, so that no variable decides where the key is sent."
        )
    name = key_variable(url)
    if api_key is None and owner is None and _is_luma(url):
        raise ConfigurationError(
            message=f"{url} is a host of Luma that no dialect knows, so no key of the environment is sent to it. Check "
            "base_url."
        )
    key = api_key or _read_key(variable, name)
    if key is None:
        raise ConfigurationError(message=f"No API key for {url}: set {name}, or pass LumaSession(api_key='…').")
    check_api_key(key, name)
    return Address(base_url=url, api_key=key)


def key_variable(base_url: str) -> str:
    """Return the variable of the environment that holds the key for an address."""
    owner = registry.HOSTS.get(registry.host_of(base_url))
    return registry.load(owner).key_variable if owner else RELAY_KEY


def usable_address(value: str | None, dialect: Dialect, source: str, *, warn: Callable[[str], None]) -> str | None:
    """Return an address from the settings, unless it is that of a relay and no relay speaks the dialect.

    Luma's own SDK reads `LUMA_BASE_URL` too, so the variable may be meant for another program. A server on this
    machine is used: it is a fake one.

    Args:
        value: the address, as it was read.
        dialect: what the session speaks.
        source: where the address was set.
        warn: called with a message if the address does not count.
    """
    url = without_quotes(value or "", source, warn=warn)
    host = registry.host_of(url)
    if not url or dialect.has_relays or host in registry.HOSTS or _is_luma(url) or is_loopback(host):
        return url or None
    warn(
        f"{source} is {url}, which does not speak the dialect {dialect.name}, so {dialect.default_base_url} is used. "
        f"If {url} speaks it, pass base_url (--base-url)."
    )
    return None


def without_quotes(value: str, source: str, *, warn: Callable[[str], None]) -> str:
    """Return a setting without spaces and quotes around it: `docker --env-file` keeps quotes as part of the value.

    Args:
        value: the setting, as it was read.
        source: where it was set.
        warn: called with a message, which does not repeat the value, if there were quotes.
    """
    bare = unquoted(value)
    if bare != value.strip():
        warn(f"{source} has quotes around its value, which were removed. Write it without quotes.")
    return bare


def unquoted(value: str) -> str:
    """Return a text without spaces and one pair of quotes around it."""
    value = value.strip()
    quoted = len(value) > 1 and value[0] == value[-1] and value[0] in "\"'"
    return value[1:-1].strip() if quoted else value


def _unwrap_typed(value: str | None, source: str) -> str | None:
    return without_quotes(value, source, warn=_warn) if isinstance(value, str) else value


def _unwrap_key(key: Secret | None) -> Secret | None:
    """Return a key without quotes around it; anything else is refused later, as it is."""
    value = None if key is None else key.reveal()
    if key is None or not isinstance(value, str) or value[:1] not in {"'", '"'}:
        return key
    return Secret(without_quotes(value, "api_key", warn=_warn))


def _warn(message: str) -> None:
    warnings.warn(message, UserWarning, stacklevel=5)


def _is_luma(url: str) -> bool:
    host = registry.host_of(url)
    return host == _LUMA_DOMAIN or host.endswith(f".{_LUMA_DOMAIN}")


def _read_key(variable: Callable[[str], str | None], name: str) -> Secret | None:
    value = without_quotes(variable(name) or "", name, warn=_warn)
    return Secret(value) if value else None


def check_api_key(key: Secret, name: str = "api_key") -> None:
    """Refuse a key that cannot be sent in a header.

    Raises:
        ConfigurationError: it is empty or has characters other than printable ASCII without spaces.
    """
    if _is_address(key.reveal()):
        raise ConfigurationError(
            message=f"{name} is an address, not a key; were the two swapped? Pass the key as api_key, and the address "
            "as base_url: LumaSession('sk-…', base_url='https://relay.example')."
        )
    if not _is_visible(key.reveal()):
        raise ConfigurationError(message=f"{name} must be the bare key: printable ASCII, no spaces.")


def _is_address(value: object) -> bool:
    return isinstance(value, str) and "://" in value


def _is_key(value: object) -> bool:
    """Whether a text begins as keys do, or is a long word without a dot, so that it cannot be a host."""
    return isinstance(value, str) and bool(_KEY_SHAPE.fullmatch(value.strip()))


def _is_visible(key: object) -> bool:
    return isinstance(key, str) and bool(_API_KEY.fullmatch(key))


def secret_headers(headers: object) -> dict[str, Secret]:
    """Return further headers of a session, their values hidden like a key.

    Raises:
        ConfigurationError: they are not a mapping of names to values, or one is set by the library.
    """
    if not isinstance(headers, Mapping):
        raise ConfigurationError(message="headers must be a mapping of names to values.")
    for name, value in cast("Mapping[object, object]", headers).items():
        if not isinstance(name, str) or not _HEADER_NAME.fullmatch(name):
            raise ConfigurationError(message=f"headers: {name!r} is not the name of a header.")
        if name.lower() in _OWN_HEADERS:
            raise ConfigurationError(message=f"headers: {name} is set by the library. The API key goes into api_key.")
        if not isinstance(value, str) or not _HEADER_VALUE.fullmatch(value):
            raise ConfigurationError(message=f"headers: the value of {name} must be printable ASCII.")
    return {name: Secret(value) for name, value in cast("Mapping[str, str]", headers).items()}


def secret_proxy(proxy: object) -> Secret | None:
    """Return the address of a proxy, hidden because it may hold a password.

    Raises:
        ConfigurationError: it is not an http(s) address; the message does not repeat it.
    """
    if proxy is None:
        return None
    try:
        parts = urlsplit(str(proxy))
        valid = parts.scheme in {"http", "https"} and bool(parts.hostname)
    except ValueError:
        valid = False
    if not valid:
        raise ConfigurationError(message="proxy must be an address with a scheme, such as http://proxy.example:3128.")
    return Secret(str(proxy))


def check_base_url(url: object, *, allow_insecure: bool) -> str:
    """Return a base URL in its normal form, without a slash at its end.

    Raises:
        ConfigurationError: it is no http(s) address, has more than a path, or would send the key unencrypted.
    """
    try:
        parts = urlsplit(url) if isinstance(url, str) else None
        port = parts.port if parts else None
        # A dot at the end of a host is the same host to the network.
        host = (parts.hostname or "").removesuffix(".") if parts else None
    except ValueError:
        parts = host = port = None
    named = bool(host) and not str(host).endswith(".") and not any(char.isspace() for char in str(url))
    if _is_key(url):
        raise ConfigurationError(
            message="base_url is a key, not an address; were the two swapped? Pass the key as api_key, and the address "
            "as base_url, such as https://relay.example."
        )
    if parts is None or host is None or parts.scheme not in _DEFAULT_PORTS or not named:
        raise ConfigurationError(message="base_url must be an address like https://relay.example, with its scheme.")
    if parts.username is not None or parts.query or parts.fragment:
        raise ConfigurationError(message="base_url must not have a user, query or fragment; pass the key as api_key.")
    if parts.scheme == "http" and not is_loopback(host) and not allow_insecure:
        raise ConfigurationError(
            message=f"base_url would send the API key to {host} unencrypted: use https://, or pass allow_insecure=True."
        )
    name = f"[{host}]" if ":" in host else host
    where = name if port in {None, _DEFAULT_PORTS[parts.scheme]} else f"{name}:{port}"
    # Luma's documentation prints its base URLs with a path, which the dialect adds by itself.
    owner = registry.HOSTS.get(host)
    path = registry.load(owner).base_path if owner else _OFFICIAL_PATH
    return f"{parts.scheme}://{where}{parts.path.rstrip('/').removesuffix(path)}"


def is_loopback(host: str) -> bool:
    """Whether a host is this machine, by name or address."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
