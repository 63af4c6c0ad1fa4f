"""The dialects by name: which there are, whose host is whose, and which of them can do what another cannot.

Dialects do not import each other, and most sessions need one of them. So this module imports a dialect only when it is
asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from luma_async.values.errors import ConfigurationError

if TYPE_CHECKING:
    import attrs

DIALECTS = {
    "rixapi": "luma_async._wire.rixapi.dialect:RixAPI",
    "dream-machine": "luma_async._wire.dream_machine.dialect:DreamMachine",
    "agents": "luma_async._wire.agents.dialect:Agents",
}
"""Every dialect with its class. The first is spoken where no host and no setting says otherwise."""
HOSTS = {"api.lumalabs.ai": "dream-machine", "agents.lumalabs.ai": "agents"}
"""The hosts that belong to a dialect. Every other host is a relay."""


def load(name: str) -> Any:
    """Return the class of a dialect."""
    module, _, cls = DIALECTS[name].partition(":")
    return getattr(import_module(module), cls)


def dialect_at(base_url: str | None) -> Any:
    """Return the dialect, with its default settings, that the service at an address speaks."""
    return load(HOSTS.get(host_of(base_url), next(iter(DIALECTS))))()


def host_of(base_url: str | None) -> str:
    """Return the host of an address in lower case, without the dot at its end; empty if there is none."""
    try:
        host = urlsplit(base_url or "").hostname
    except (ValueError, TypeError, AttributeError):
        host = None
    return (host or "").removesuffix(".")


def is_own_host(base_url: str) -> bool:
    """Whether an address is that of a dialect's own service."""
    return host_of(base_url) in HOSTS


def advice_for_operation(operation: str) -> str:
    """Say which dialects have a call; empty if none has."""
    return _advice([name for name in DIALECTS if load(name)().supports(operation)], "support")


def advice_for_field(kind: str, field: str) -> str:
    """Say which dialects carry a field of a request; empty if none does."""
    return _advice([name for name in DIALECTS if field in load(name).carries.get(kind, ())], "carry")


_THIRD = {"support": "supports", "carry": "carries"}


def check_dialect(_: Any, __: attrs.Attribute[Any], value: object) -> None:
    """Refuse a dialect that is a name, a class or has no address."""
    if isinstance(value, type) or not hasattr(value, "default_base_url"):
        classes = [place.partition(":")[2] for place in DIALECTS.values()]
        named = DIALECTS.get(value, "").partition(":")[2] if isinstance(value, str) else ""
        one_of = f"{', '.join(f'{name}()' for name in classes[:-1])} or {classes[-1]}()"
        advice = f"dialect={named}()" if named else one_of
        raise ConfigurationError(message=f"dialect must be an instance, not {value!r}: use {advice}.")


def advice_for_name(name: str) -> str:
    """Say how to speak a dialect."""
    return f"use {_use(name)}."


def _use(name: str) -> str:
    return f"dialect={DIALECTS[name].partition(':')[2]}() (--dialect {name})"


def _advice(names: list[str], verb: str) -> str:
    if not names:
        return ""
    uses = " or ".join(map(_use, names))
    who = f"The dialect {names[0]} {_THIRD[verb]}" if len(names) == 1 else f"The dialects {' and '.join(names)} {verb}"
    return f"{who} it: use {uses}."
