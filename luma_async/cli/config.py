"""Settings of the command line: a flag counts first, then the environment, then the file.

The file is `config.toml` in `$XDG_CONFIG_HOME/luma-async` (else `~/.config/luma-async`):

```toml
base_url = "https://relay.example"
dialect = "rixapi"
edition = "2025"
journal = "/home/me/jobs.db"
api_key = "sk-…"    # only if nobody else may read the file
```
"""

from __future__ import annotations

import os
import tomllib
from functools import cache
from pathlib import Path

from luma_async.errors import ConfigurationError

NAMES = frozenset({"base_url", "dialect", "edition", "journal", "api_key"})
"""What the file may hold."""


def config_path() -> Path:
    """Return where the file is, or would be."""
    folder = os.environ.get("XDG_CONFIG_HOME")
    return (Path(folder) if folder else Path.home() / ".config") / "luma-async" / "config.toml"


def configured(name: str) -> str | None:
    """Return a setting of the file; None when there is none.

    Raises:
        ConfigurationError: the file cannot be right; the message says where and what.
    """
    return _read(config_path()).get(name)


@cache
def _read(path: Path) -> dict[str, str]:
    try:
        text = path.read_bytes()
    except FileNotFoundError:
        return {}
    except OSError as error:
        why = error.strerror or str(error)
    else:
        return _checked(path, text)
    raise ConfigurationError(message=f"{path} cannot be read: {why}.")


def _checked(path: Path, text: bytes) -> dict[str, str]:
    try:
        settings = tomllib.loads(text.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        why = str(error)
    else:
        for name, value in settings.items():
            if name not in NAMES or not isinstance(value, str):
                known = ", ".join(sorted(NAMES))
                raise ConfigurationError(message=f"{path}: {name} is not a setting; there are {known}, all texts.")
        if "api_key" in settings and path.stat().st_mode & 0o077:
            raise ConfigurationError(message=f"{path} holds the API key and others may read it: chmod 600 {path}")
        return settings
    raise ConfigurationError(message=f"{path} is not TOML: {why}.")
