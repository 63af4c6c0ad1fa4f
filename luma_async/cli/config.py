"""Settings of the command line: a flag counts first, then the environment, then the file.

The file is `config.toml` in `$XDG_CONFIG_HOME/luma-async` (else `~/.config/luma-async`), and so is a journal that it
names by a relative path:

```toml
base_url = "https://relay.example"
dialect = "rixapi"
edition = "2025"
journal = "~/videos/jobs.db"
api_key = "sk-…"    # only if nobody else may read the file
```
"""

from __future__ import annotations

import os
import shlex
import tomllib
from functools import cache
from pathlib import Path

from luma_async.values.errors import ConfigurationError

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


def configured_path(name: str) -> Path | None:
    """Return a setting that is a file, the same one from whatever folder we are called."""
    value = configured(name)
    if not value:
        return None
    # A user that does not exist has no home, and the name stays as it is.
    return config_path().parent / os.path.expanduser(value)  # noqa: PTH111 - `Path.expanduser()` raises then


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
            if name not in NAMES:
                known = ", ".join(sorted(NAMES))
                raise ConfigurationError(message=f"{path}: {name} is not a setting; there are {known}.")
            if not isinstance(value, str):
                raise ConfigurationError(message=f"{path}: {name} must be a text, in quotes.")
        if "api_key" in settings and os.name == "posix" and path.stat().st_mode & 0o077:
            raise ConfigurationError(
                message=f"{path} holds the API key and others may read it: chmod 600 {shlex.quote(str(path))}"
            )
        return settings
    raise ConfigurationError(message=f"{path} is not TOML: {why}.")
