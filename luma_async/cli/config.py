"""The settings file of the command line. Flags come first, then the environment, then this file.

It is `config.toml` in `$XDG_CONFIG_HOME/luma-async` (default: `~/.config/luma-async`). A relative path of a journal is
relative to that folder.

```toml
base_url = "https://relay.example"
dialect = "rixapi"
edition = "2025"
journal = "~/videos/jobs.db"
api_key = "sk-…"    # only if the file is readable by its owner alone
headers = "X-Password: …"    # the same; one header on a line
max_purchases = "20/hour,100/day"
max_amount = "50/month"

[prices]
"ray-3.2 540p 5s" = "0.15"
```
"""

from __future__ import annotations

import os
import shlex
import tomllib
from functools import cache
from pathlib import Path
from typing import Any

from luma_async.values.errors import ConfigurationError, InvalidInput

NAMES = frozenset({"base_url", "dialect", "edition", "journal", "api_key", "headers", "max_purchases", "max_amount"})
"""The settings that the file may have, each a string."""
_PRICES = "prices"
"""The table of the file."""


def config_path() -> Path:
    """Return the path of the file, which need not exist."""
    folder = os.environ.get("XDG_CONFIG_HOME")
    return (Path(folder) if folder else Path.home() / ".config") / "luma-async" / "config.toml"


def configured(name: str) -> str | None:
    """Return a setting of the file; None if it is not set.

    Raises:
        ConfigurationError: the file cannot be read, or has a mistake.
    """
    value: str | None = _read(config_path()).get(name)
    return value


def configured_prices() -> dict[str, str | float] | None:
    """Return the prices of the file; None if it has none.

    Raises:
        ConfigurationError: the file cannot be read, or has a mistake.
    """
    prices: dict[str, str | float] | None = _read(config_path()).get(_PRICES)
    return prices


def configured_path(name: str) -> Path | None:
    """Return a setting that is a path; it does not depend on the working directory."""
    value = configured(name)
    if not value:
        return None
    # The home of an unknown user (`~name`) stays unexpanded.
    return config_path().parent / os.path.expanduser(value)  # noqa: PTH111 - `Path.expanduser()` raises for an unknown user


@cache
def _read(path: Path) -> dict[str, Any]:
    try:
        text = path.read_bytes()
    except FileNotFoundError:
        return {}
    except OSError as error:
        why = error.strerror or str(error)
    else:
        return _checked(path, text)
    raise ConfigurationError(message=f"Cannot read {path}: {why}.")


def _checked(path: Path, text: bytes) -> dict[str, Any]:
    try:
        settings = tomllib.loads(text.decode("utf-8-sig"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        why = str(error)
    else:
        for name, value in settings.items():
            if name == _PRICES:
                _check_prices(path, value)
                continue
            if name not in NAMES:
                known = ", ".join(sorted(NAMES | {_PRICES}))
                raise ConfigurationError(message=f"{path}: unknown setting {name}. Known settings: {known}.")
            if not isinstance(value, str):
                raise ConfigurationError(message=f"{path}: {name} must be a quoted string.")
        if {"api_key", "headers"} & settings.keys() and os.name == "posix" and path.stat().st_mode & 0o077:
            secret = "the API key" if "api_key" in settings else "headers"
            raise ConfigurationError(
                message=f"{path} contains {secret}, but others can read it. Run: chmod 600 {shlex.quote(str(path))}"
            )
        return settings
    raise ConfigurationError(message=f"{path} is not valid TOML: {why}.")


def _check_prices(path: Path, prices: object) -> None:
    from luma_async.values.budget import check_prices  # noqa: PLC0415 - most files have none

    try:
        check_prices(prices)
    except InvalidInput as error:
        message = error.message
    else:
        return
    raise ConfigurationError(message=f"{path}: [prices]: {message}")
