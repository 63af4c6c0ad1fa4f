"""Sessions in each dialect, for stories that hold in all of them."""

from __future__ import annotations

import pytest

from luma_async import Agents, DreamMachine, LumaSession, RixAPI


@pytest.fixture(params=[RixAPI(), DreamMachine(), Agents()], ids=lambda dialect: dialect.name)
def dialect(request):
    return request.param


@pytest.fixture
def session(dialect):
    """A function that makes sessions, in each dialect."""

    def build(gateway, journal, **settings):
        settings = {"base_url": gateway.base_url, "dialect": dialect, "journal": journal, **settings}
        return LumaSession(gateway.api_key, **settings)

    return build
