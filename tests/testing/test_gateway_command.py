"""`luma-async gateway` runs a fake gateway in its own process."""

from __future__ import annotations

import asyncio
import subprocess
import sys

import aiohttp
import pytest

from luma_async import GenerationFailed, LumaSession, SubmitInDoubt


@pytest.fixture
async def start():
    """Start the command with options; return its process and its address."""
    started = []

    async def start(*options, stderr=subprocess.DEVNULL):
        command = [sys.executable, "-m", "luma_async", "gateway", "--port", "0", "--api-key", "sk-own", *options]
        process = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE, stderr=stderr)
        started.append(process)
        line = (await process.stdout.readline()).decode()
        return process, dict(word.split("=", 1) for word in line.split()).get("LUMA_BASE_URL")

    yield start
    for process in started:
        if process.returncode is None:
            process.terminate()
        await process.communicate()


@pytest.mark.parametrize(("options", "statuses"), [((), [200, 200]), (("--strict",), [401, 404])])
async def test_gateway_command(start, options, statuses):
    """The command prints its address and key; any key and id are accepted, or only its own with `--strict`."""
    _, base_url = await start(*options)
    seen = []
    async with aiohttp.ClientSession() as http:
        for shown in ("sk-other", "sk-own"):
            url = f"{base_url}/dream-machine/v1/generations/any-id"
            async with http.get(url, headers={"Authorization": f"Bearer {shown}"}) as response:
                seen.append(response.status)
    assert seen == statuses


async def test_agents_address(start):
    """The second line has the address and the key of the Agents API, which is served there."""
    process, _ = await start("--strict")
    words = dict(word.split("=", 1) for word in (await process.stdout.readline()).decode().split())
    headers = {"Authorization": f"Bearer {words['LUMA_AGENTS_API_KEY']}"}
    url = f"{words['LUMA_BASE_URL']}/files?limit=1"
    async with aiohttp.ClientSession() as http, http.get(url, headers=headers) as response:
        assert (await response.json()) == {"data": [], "has_more": False}


async def test_doubt_from_a_shell(start):
    """With a prefix, a script and a fault, a client in another process meets a doubt, then a failed generation."""
    options = ("--prefix", "/pro", "--script", "fails", "--seconds", "0", "--fault", "drop_after_reading:submit:1")
    process, base_url = await start(*options, stderr=subprocess.PIPE)
    assert base_url.endswith("/pro")
    async with LumaSession("sk-own", base_url=base_url) as luma:
        with pytest.raises(SubmitInDoubt):
            await luma.submit("a cat")
        with pytest.raises(GenerationFailed):
            await luma.run("a dog")
    process.terminate()
    _, printed = await process.communicate()
    submits = [line.split(" ", 1)[1] for line in printed.decode().splitlines() if " POST " in line]
    assert submits == [
        "POST /pro/luma/generations no answer 'a cat' (drop_after_reading)",
        "POST /pro/luma/generations 201 'a dog'",
    ]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--fault", "explodes"), "'explodes' is not a fault. The faults are drop_before_reading"),
        (("--fault", "hang:everything"), "'everything' is not a kind of request"),
        (("--fault", "hang:submit:twice"), "--fault hang:submit:twice"),
        (("--script", "sings"), "'sings' is not a script. The scripts are succeeds"),
    ],
    ids=["fault", "kind", "times", "script"],
)
async def test_wrong_options(start, options, said):
    """A word that the command does not know is refused, with the words that it knows."""
    process, _ = await start(*options, stderr=subprocess.PIPE)
    _, printed = await process.communicate()
    assert process.returncode == 2
    assert said in printed.decode()
