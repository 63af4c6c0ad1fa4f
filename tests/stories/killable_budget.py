"""Programs that buy within budgets and are killed. The story of budgets runs this file, and does not import it.

It starts eight processes at a time over the same journal, kills each at a random moment, and does so a few times. The
last eight run to their end. It prints how many purchases the last ones were refused by the budget.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sys
import time

from luma_async import Budget, BudgetExceeded, LumaSession

AT_ONCE = 8
LIVES = 5
PURCHASES = 12
"""How many each process tries to buy."""
LIMIT = 40
BUDGETS = [
    Budget(purchases=LIMIT, per="hour"),
    Budget(amount="6.15", per="day", price={"default": "0.15"}),
    Budget(purchases=PURCHASES - 2, per="session"),
]
LONGEST_LIFE_S = 0.3


async def main(journal):
    """Buy, and return how many purchases the budget refused."""
    name = os.urandom(8).hex()
    async with LumaSession(journal=journal, budget=BUDGETS) as luma:
        calls = [luma.submit(f"{name} {number}", key=f"{name}-{number}") for number in range(PURCHASES)]
        results = await asyncio.gather(*calls, return_exceptions=True)
    return sum(isinstance(result, BudgetExceeded) for result in results)


def start(journal):
    """Buy in a process of its own; its exit code is how many purchases were refused."""
    child = os.fork()
    if child == 0:
        code = 99
        try:
            code = asyncio.run(main(journal))
        finally:
            os._exit(code)
    return child


def run(journal, seed):
    moments = random.Random(seed)
    for life in range(LIVES):
        children = [start(journal) for _ in range(AT_ONCE)]
        if life < LIVES - 1:
            for child in children:
                time.sleep(moments.uniform(0, 2 * LONGEST_LIFE_S / AT_ONCE))
                os.kill(child, signal.SIGKILL)
        codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    print(*codes)


if __name__ == "__main__":
    run(sys.argv[1], int(sys.argv[2]))
