"""`python -m luma_async` is the command line."""

from __future__ import annotations

import sys

from luma_async.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
