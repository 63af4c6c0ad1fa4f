"""`luma-async mcp`: what it requires to start, and how it ends."""

from __future__ import annotations

import asyncio
import signal
import socket
import sys

import pytest
from mcp_clients import Server


@pytest.fixture
def runs(gateway, monkeypatch, tmp_path):
    """Return a function that starts `luma-async mcp`."""
    processes = []

    async def start(*flags):
        server = Server(gateway, tmp_path, *flags)
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(
            *server.words, env=server.env, stdin=pipe, stdout=pipe, stderr=pipe
        )
        processes.append(process)
        return process

    yield start
    assert all(process.returncode is not None for process in processes)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("transport", ["stdio", "http"])
async def test_mcp_ends_after_signal(number, transport, runs):
    """A signal ends the server in order, although it may be reading its input at that moment."""
    process = await runs(*(["--http", "0"] if transport == "http" else []))
    if transport == "http":
        await process.stdout.readline()
    else:
        process.stdin.write(b'{"jsonrpc": "2.0", "id": 1, "method": "ping"}\n')
        await process.stdout.readline()
    process.send_signal(number)
    await process.wait()
    assert process.returncode == 128 + number


async def test_mcp_ends_with_input(runs):
    """The end of its input ends the server with success."""
    process = await runs()
    _, errors = await process.communicate(b"")
    assert (process.returncode, errors) == (0, b"")


async def test_mcp_needs_a_limit(here, command):
    """Without a spending limit the server does not start."""
    code, _, err = await command("mcp", "clips")
    assert (code, err) == (2, "luma-async: The server needs a limit: --max-purchases 20/day.\n")


async def test_mcp_port_in_use(here, command):
    """A port that is in use is an error that says what to do."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        code, _, err = await command("mcp", "clips", "--http", port, "--max-purchases", "1")
    assert code == 2
    assert "--http 0" in err


async def test_mcp_without_its_packages(here, command, monkeypatch):
    """Without the extra, the error names the command that installs it."""
    monkeypatch.setitem(sys.modules, "fastmcp", None)
    monkeypatch.delitem(sys.modules, "luma_async.contrib.mcp", raising=False)
    code, _, err = await command("mcp", "clips", "--max-purchases", "1")
    assert code == 2
    assert "pip install 'luma-async[mcp]'" in err
