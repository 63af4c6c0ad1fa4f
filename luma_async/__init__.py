"""An asyncio client for paid Luma video generation: never pay twice, never lose a job, wait cheaply."""

import lazy_loader  # pyright: ignore[reportMissingTypeStubs]

__version__ = "0.1.0"

# `__init__.pyi` lists the public names, for type checkers and for this. Each is imported when it is first used, so that
# `luma-async --help`, or a program that needs one exception, loads neither aiohttp nor cattrs nor sqlite3.
# pyright: reportUnknownVariableType=false
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
