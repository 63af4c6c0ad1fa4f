"""What a session was told, checked before anything is opened."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import attrs

from luma_async._journal.protocol import Journal
from luma_async.values.errors import ConfigurationError
from luma_async.values.settings import Limits, PollPolicy, RetryPolicy, Timeouts

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import aiohttp

    from luma_async._wire.dialect import Dialect
    from luma_async.values.events import Event


def _check_kind(kind: type[Any]) -> Callable[[Any, attrs.Attribute[Any], Any], None]:
    def check(_: Any, attribute: attrs.Attribute[Any], value: Any) -> None:
        if not isinstance(value, kind):
            raise ConfigurationError(message=f"{attribute.name} must be a {kind.__name__}, not {value!r}.")

    return check


def _check_dialect(_: Any, __: attrs.Attribute[Any], value: object) -> None:
    if isinstance(value, type) or not hasattr(value, "default_base_url"):
        raise ConfigurationError(message=f"dialect must be one such as RixAPI() or DreamMachine(), not {value!r}.")


def _check_proxy(_: Any, __: attrs.Attribute[Any], value: Any) -> None:
    if value is None:
        return
    try:
        parts = urlsplit(str(value))
        sound = parts.scheme in {"http", "https"} and bool(parts.hostname)
    except ValueError:
        sound = False
    if not sound:
        # Not the value: it may hold a password.
        raise ConfigurationError(message="proxy must be an address like http://proxy.example:3128, with its scheme.")


@attrs.frozen(kw_only=True)
class SessionConfig:
    """Everything a session was told."""

    dialect: Dialect = attrs.field(validator=_check_dialect)
    """The format that the service speaks."""
    journal: Journal | str | os.PathLike[str] | None
    """Where paid intents are remembered; a path is opened, and closed again."""
    poll: PollPolicy = attrs.field(validator=_check_kind(PollPolicy))
    """When to look."""
    retry: RetryPolicy = attrs.field(validator=_check_kind(RetryPolicy))
    """How often to repeat."""
    limits: Limits = attrs.field(validator=_check_kind(Limits))
    """How much at once."""
    timeouts: Timeouts = attrs.field(validator=_check_kind(Timeouts))
    """Bounds on single steps."""
    emit: Callable[[Event], None] | None
    """Is told what happens; None where nobody listens."""
    proxy: str | None = attrs.field(repr=False, validator=_check_proxy)
    """The address of an HTTP proxy; it may hold a password."""
    trust_env: bool
    """Whether HTTP_PROXY and its like count."""
    trace_configs: Sequence[aiohttp.TraceConfig]
    """The user's own, for tracing."""
