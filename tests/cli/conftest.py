"""Fixtures of the command line: a service and a folder to work in, and commands in this process or in another."""

from __future__ import annotations

import asyncio
import re

import pytest
from terminal import COMMAND

from luma_async import PollPolicy
from luma_async.cli import options
from luma_async.cli.main import main
from luma_async.testing import succeeds

_PYTHON = re.compile(r"\b\w+=\S|\b(session|handle|error)\.\w|\w\(\)|LumaSession|RixAPI\(|DreamMachine\(|Limits\(")
"""What only a Python program can use."""


@pytest.fixture
def gateway_options():
    return {"script": succeeds(after=0.1)}


@pytest.fixture(autouse=True)
def poll_often(monkeypatch):
    """Commands of this process poll often: these tests are not about the schedule."""
    monkeypatch.setattr(options, "POLL", PollPolicy.fixed(0.05))


@pytest.fixture
def dialect():
    return "rixapi"


@pytest.fixture
def here(gateway_env, tmp_path, monkeypatch, dialect):
    """An empty working directory; the service, its format and the journal are set in the environment."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("LUMA_JOURNAL", str(tmp_path / "state" / "jobs.db"))
    monkeypatch.setenv("LUMA_DIALECT", dialect)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    return folder


@pytest.fixture
def command(capsys):
    """Run a command in a thread, with its own event loop; return its exit code and both outputs.

    Its messages name flags and commands, never Python.
    """

    async def run(*arguments):
        code = await asyncio.to_thread(exit_code_of, [str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        assert not _PYTHON.search(err), err
        return code, out, err

    return run


def exit_code_of(arguments):
    """Run a command, also one that the parser refuses."""
    try:
        return main(arguments)
    except SystemExit as stopped:
        return stopped.code


@pytest.fixture
async def start():
    """Start a command in a process of its own, with its outputs in pipes; it is killed if the test leaves it."""
    started = []

    async def run(*arguments, **pipes):
        process = await asyncio.create_subprocess_exec(
            *COMMAND,
            *arguments,
            **{"stdout": asyncio.subprocess.PIPE, "stderr": asyncio.subprocess.PIPE, **pipes},
        )
        started.append(process)
        return process

    yield run
    for process in started:
        if process.returncode is None:
            process.kill()
            await process.communicate()
