"""The TLS context for the service and for file servers."""

from __future__ import annotations

import os
import ssl
from pathlib import Path

from luma_async.values.errors import ConfigurationError


def environment_context() -> ssl.SSLContext | None:
    """Return a context that trusts what `SSL_CERT_FILE` and `SSL_CERT_DIR` name; None if neither is set.

    aiohttp reads them once, when it is imported. A session reads them when it opens.

    Raises:
        ConfigurationError: a variable names a file or folder that does not exist.
    """
    paths = {name: os.environ.get(name) for name in ("SSL_CERT_FILE", "SSL_CERT_DIR")}
    for name, path in paths.items():
        if path and not any(Path(part).exists() for part in path.split(os.pathsep)):
            raise ConfigurationError(message=f"{name} is {path}, which does not exist. Set it to the file of your CA.")
    return ssl.create_default_context() if any(paths.values()) else None
