"""Whatever becomes of a paid POST to the Agents API, it is paid at most once, and the error says what is known."""

from __future__ import annotations

import pytest
from ledger import balance
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
    Timeouts,
    Unauthorized,
)
from luma_async.testing import ALL_FAULTS, answer

pytestmark = pytest.mark.looptime
LOST_ANSWERS = [fault for fault in ALL_FAULTS if fault.loses_answer]
DOUBTS = frozenset({"502", "503"})
ERRORS = {"401": Unauthorized, "402": OutOfCredit, "403": Unauthorized, "429": RateLimited}


def session(gateway, journal):
    settings = {"timeouts": Timeouts(submit=5), "retry": RetryPolicy(attempts=1, connect_retry_for=0)}
    return LumaSession(gateway.api_key, base_url=gateway.base_url, dialect=Agents(), journal=journal, **settings)


@pytest.mark.parametrize("fault", LOST_ANSWERS, ids=lambda fault: fault.name)
async def test_lost_answer(gateway, journal, fault):
    """However an answer is lost, one POST leaves, the caller gets a doubt, and the key does not send again."""
    gateway.inject(fault, times=100)
    async with session(gateway, journal) as luma:
        for _ in range(2):
            with pytest.raises(SubmitInDoubt):
                await luma.submit("cat dance", key="cat")
        assert [entry.key for entry in await luma.doubts.list()] == ["cat"]
    assert gateway.counts["submit"] == 1
    await balance(gateway, journal)


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
