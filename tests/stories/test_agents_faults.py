"""Each documented error of a paid POST to the Agents API is refused and not paid, or in doubt."""

from __future__ import annotations

import pytest
from samples_of import names, sample

from luma_async import (
    Agents,
    LumaSession,
    OutOfCredit,
    Phase,
    RateLimited,
    Refused,
    RetryPolicy,
    SubmitInDoubt,
    Unauthorized,
)
from luma_async.testing import answer

pytestmark = pytest.mark.looptime
DOUBTS = frozenset({"502", "503"})
ERRORS = {"401": Unauthorized, "402": OutOfCredit, "403": Unauthorized, "429": RateLimited}


def session(gateway, journal):
    settings = {"dialect": Agents(), "journal": journal, "retry": RetryPolicy(attempts=1)}
    return LumaSession(gateway.api_key, base_url=gateway.base_url, **settings)


@pytest.mark.parametrize("name", names("agents/errors"))
async def test_documented_error(gateway, journal, name):
    """Each documented error of a POST is refused and not paid, except 502 and 503, which are in doubt."""
    recorded = sample("agents/errors", name)
    gateway.inject(answer(recorded["status"], recorded["body"], recorded["headers"]), times=100)
    status = name[:3]
    error = SubmitInDoubt if status in DOUBTS else ERRORS.get(status, Refused)
    async with session(gateway, journal) as luma:
        with pytest.raises(error):
            await luma.submit("cat dance", key="cat")
    assert gateway.counts["submit"] == 1
    entry = await journal.get("cat")
    assert (entry.phase is Phase.REFUSED) == (error is not SubmitInDoubt)
    assert gateway.charges == ()
