"""`luma-async gateway` runs a fake gateway in its own process."""

from __future__ import annotations

import asyncio
import subprocess
import sys

import aiohttp
import pytest


@pytest.mark.parametrize(("options", "statuses"), [((), [200, 200]), (("--strict",), [401, 404])])
async def test_gateway_command(options, statuses):
    """The command prints its address and key; any key and id are accepted, or only its own with `--strict`."""
    command = [sys.executable, "-m", "luma_async", "gateway", "--port", "0", "--api-key", "sk-own", *options]
    process = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    base_url, key = (word.split("=", 1)[1] for word in (await process.stdout.readline()).decode().split())
    seen = []
    async with aiohttp.ClientSession() as http:
        for shown in ("sk-other", key):
            url = f"{base_url}/dream-machine/v1/generations/any-id"
            async with http.get(url, headers={"Authorization": f"Bearer {shown}"}) as response:
                seen.append(response.status)
    process.terminate()
    await process.communicate()
    assert (key, seen) == ("sk-own", statuses)
