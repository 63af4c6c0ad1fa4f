"""Whatever eight processes over one journal do, and wherever they are killed, no budget is exceeded.

The programs are in `killable_budget.py`; the gateway that counts charges runs in this process.
"""

from __future__ import annotations

import asyncio
import os
import sys
from datetime import timedelta
from decimal import Decimal
from functools import partial
from pathlib import Path
from zlib import crc32

import pytest
from ledger import balance
from stories.killable_budget import AT_ONCE, LIMIT, PURCHASES

from luma_async import SqliteJournal
from luma_async._aio import wall_now
from luma_async._journal.lifecycle import SPENT
from luma_async.testing import ALWAYS, FakeGateway, answer, drop_after_reading, late

PROGRAM = Path(__file__).with_name("killable_budget.py")


def meets(seen, place):
    """Whether a request meets a fault: three in eight do, each another one."""
    return crc32(seen.prompt.encode()) % 8 == place


@pytest.mark.parametrize("seed", range(int(os.environ.get("LUMA_ASYNC_BUDGETS", "2"))))
async def test_budget_of_killed_processes(seed, tmp_path):
    """Charges stay within the budget at every moment, and the journal counts all of them."""
    path = tmp_path / "jobs.db"
    over = []

    def check(_seen, _status, _fault):
        if len(gateway.charges) > LIMIT:
            over.append(len(gateway.charges))

    async with FakeGateway(on_request=check) as gateway:
        for place, fault in enumerate((drop_after_reading(), answer(400, {"detail": "no"}), late(0.1))):
            gateway.inject(fault, times=ALWAYS, when=partial(meets, place=place))
        environment = {**os.environ, "LUMA_API_KEY": gateway.api_key, "LUMA_BASE_URL": gateway.base_url}
        program = await asyncio.create_subprocess_exec(
            sys.executable, str(PROGRAM), str(path), str(seed), env=environment, stdout=asyncio.subprocess.PIPE
        )
        printed, _ = await program.communicate()
        assert program.returncode == 0
        refused = [int(word) for word in printed.split()]
        # The last processes run to their end, and the budget of each session is two purchases smaller than its wish.
        assert len(refused) == AT_ONCE
        assert all(2 <= number <= PURCHASES for number in refused)
        assert over == []
        journal = SqliteJournal(path)
        entries = await journal.entries(phases=SPENT)
        service = f"rixapi {gateway.base_url}"
        hour, total = await journal.spent(service, [wall_now() - timedelta(hours=1), None])
        charges, accepted, doubtful = await balance(gateway, journal)
        await journal.aclose()
    assert charges <= hour.purchases == total.purchases == len(entries) == accepted + doubtful <= LIMIT
    assert hour.amount == total.purchases * Decimal("0.15")
    # What the service refused at the end was not bought again.
    assert total.purchases > LIMIT / 2
