"""A fake gateway for testing programs that submit paid generations: nothing is paid, and every charge is counted.

`FakeGateway` is a real HTTP server that speaks the relay dialect and those of Luma's Dream Machine API and Agents API.
A script describes how a fake generation's state changes over time, a fault what goes wrong with a request;
`ALL_FAULTS` has them all. Fixtures for pytest are in `luma_async.testing.fixtures`, the only module that needs pytest.
"""

import lazy_loader  # pyright: ignore[reportMissingTypeStubs]

# `__init__.pyi` lists the public names, for type checkers and for this.
# pyright: reportUnknownVariableType=false
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
