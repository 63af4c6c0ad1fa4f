"""A pseudo-terminal to run a command in: tests type into it and read its screen."""

from __future__ import annotations

import asyncio
import codecs
import fcntl
import os
import pty
import re
import sys
import termios

_OFTEN = """
import sys
from luma_async import PollPolicy
from luma_async.cli import main, options

options.POLL = PollPolicy.fixed(0.05)
sys.exit(main.main())
"""
COMMAND = (sys.executable, "-c", _OFTEN)
"""`luma-async` in a process of its own; it polls often."""

_WIDTH = 100
_STYLE = re.compile(r"\x1b\[[\d;]*m")
_STEP = re.compile(r"\x1b\[(?P<count>\d*)(?P<what>[A-Za-z])|\x1b\[\?\d+[hl]|(?P<text>[^\x1b])")


class Terminal:
    """Runs one command at a time in the foreground of a new session, so that Ctrl-C reaches it.

    Attributes:
        stream: everything that was written to the terminal.
        code: the exit code of the command; None while it runs.
    """

    def __init__(self) -> None:
        self.stream = ""
        self.code: int | None = None
        self._seen = asyncio.Event()
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._hung_up = False
        self._process = None

    async def start(self, *arguments, stdout=None, shell=None, **environment):
        """Start `luma-async` with these arguments, or a shell with a line; `stdout` replaces the terminal."""
        self._ours, theirs = pty.openpty()
        termios.tcsetwinsize(theirs, (40, _WIDTH))
        words = (*COMMAND, *arguments) if shell is None else ("/bin/sh", "-c", shell)
        # Colors depend on TERM and the test's variables only, not on the machine's.
        inherited = {
            name: value for name, value in os.environ.items() if name not in {"NO_COLOR", "FORCE_COLOR", "COLORTERM"}
        }
        self._process = await asyncio.create_subprocess_exec(
            *words,
            stdin=theirs,
            stdout=theirs if stdout is None else stdout,
            stderr=theirs,
            env={**inherited, "TERM": "xterm-256color", **environment},
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )
        os.close(theirs)
        asyncio.get_running_loop().add_reader(self._ours, self._read)

    def press(self, keys: bytes) -> None:
        """Type these keys."""
        os.write(self._ours, keys)

    async def until(self, words: str) -> None:
        """Wait until these words were written."""
        while words not in _STYLE.sub("", self.stream):
            assert not self._hung_up, self.stream
            self._seen.clear()
            await self._seen.wait()

    async def end(self) -> str:
        """Wait until the command has ended, and return the screen."""
        self.code = await self._process.wait()
        while not self._hung_up:
            self._seen.clear()
            await self._seen.wait()
        os.close(self._ours)
        return self.screen

    async def kill(self) -> None:
        """Kill a command that a failed test left running."""
        if self.code is None and self._process is not None:
            if self._process.returncode is None:
                self._process.kill()
            await self.end()

    @property
    def screen(self) -> str:
        """The text on the screen, after all redraws."""
        lines, row, column = [[]], 0, 0
        for step in _STEP.finditer(self.stream):
            text, what, count = step["text"], step["what"], int(step["count"] or 1)
            if what == "A":
                row = max(0, row - count)
            elif what == "K":
                lines[row] = []
            elif text == "\r":
                column = 0
            elif text == "\n":
                row += 1
                if row == len(lines):
                    lines.append([])
            elif text:
                lines[row] += " " * (column - len(lines[row]))
                lines[row][column : column + 1] = text
                column += 1
        return "\n".join("".join(line).rstrip() for line in lines).rstrip()

    def _read(self) -> None:
        try:
            data = os.read(self._ours, 65536)
        except OSError:
            # The command has closed the other end.
            asyncio.get_running_loop().remove_reader(self._ours)
            self._hung_up = True
            data = b""
        self.stream += self._decoder.decode(data)
        self._seen.set()
