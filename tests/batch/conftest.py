"""Settings of the sessions in this folder."""

from __future__ import annotations

import pytest

from luma_async import PollPolicy


@pytest.fixture
def session_options():
    """Poll once a second, in virtual time."""
    return {"poll": PollPolicy.fixed(1)}
