"""A program that submits and downloads one video. A test kills it during the download and starts it again.

python downloading.py JOURNAL FOLDER
"""

from __future__ import annotations

import asyncio
import sys

from luma_async import LumaSession, PollPolicy


async def main(journal, folder):
    async with LumaSession(journal=journal, poll=PollPolicy.fixed(0.1)) as luma:
        handle = await luma.submit("cat dance", key="cat")
        print(await handle.download(folder))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
