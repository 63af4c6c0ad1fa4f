"""The tests in the guide pass."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "testing.md"
FILES = re.findall(r"^```py\n# (\S+)\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)


def test_shown_tests_pass(tmp_path):
    """The tests of the guide pass in the files that they name, with the setting that the guide requires."""
    for name, code in FILES:
        (tmp_path / name).write_text(code)
    (tmp_path / "pytest.ini").write_text("[pytest]\nasyncio_mode = auto\n")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    shown = sum(name.startswith("test_") for name, _ in FILES)
    assert f"{shown} passed" in done.stdout, done.stdout + done.stderr
