"""Further headers for the service: from `--header`, `LUMA_HEADERS` or the settings file.

They may hold passwords, so no message repeats a value, and those of the environment and the file are only sent to the
address that is set there too.
"""

from __future__ import annotations

import argparse
import os
from typing import TYPE_CHECKING, TypeAlias

from luma_async._http.address import check_base_url, unquoted
from luma_async._wire.registry import is_own_host
from luma_async.cli.config import configured
from luma_async.values.errors import ConfigurationError
from luma_async.values.redaction import Secret

if TYPE_CHECKING:
    from collections.abc import Iterable

Header: TypeAlias = tuple[str, Secret]
"""A name and a value, which may be a password."""


def header(text: str) -> Header:
    """Read the value of `--header`.

    Raises:
        ArgumentTypeError: it has no colon; the message does not repeat it.
    """
    name, colon, value = text.partition(":")
    if not colon or not name.strip():
        raise argparse.ArgumentTypeError("must have the form NAME:VALUE")
    return name.strip(), Secret(value.strip())


def headers_for(target: str | None, typed: Iterable[Header]) -> dict[str, str]:
    """Return the headers for a service.

    Args:
        target: the base URL of the service, in its normal form.
        typed: what `--header` set, which comes first.

    Raises:
        ConfigurationError: a line of `LUMA_HEADERS` or of the file has no colon.
    """
    found: dict[str, Header] = {}
    in_file, in_environment = configured("headers"), os.environ.get("LUMA_HEADERS")
    if in_file and target and target == _normalize(configured("base_url")):
        found |= _by_name(_read("headers in the settings file", in_file))
    if in_environment and target and _may_get_environment(target):
        found |= _by_name(_read("LUMA_HEADERS", in_environment))
    return {name: value.reveal() for name, value in (found | _by_name(typed)).values()}


def _may_get_environment(target: str) -> bool:
    """Whether the environment's headers belong to this service: it has the address that is set, or none is set."""
    owner = _normalize(os.environ.get("LUMA_BASE_URL") or configured("base_url"))
    return owner == target if owner else not is_own_host(target)


def _normalize(base_url: str | None) -> str | None:
    return check_base_url(unquoted(base_url), allow_insecure=False) if base_url else None


def _by_name(headers: Iterable[Header]) -> dict[str, Header]:
    return {name.lower(): (name, value) for name, value in headers}


def _read(source: str, lines: str) -> list[Header]:
    try:
        return [header(line) for line in lines.splitlines() if line.strip()]
    except argparse.ArgumentTypeError as error:
        message = f"{source}: each line {error}."
    raise ConfigurationError(message=message)
