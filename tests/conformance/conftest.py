"""Conformance to Luma's OpenAPI document: `LUMA_OPENAPI=… nox -s openapi`. Without the variable, no test is collected.

Requires schemathesis (`st`) and Prism (`prism`) on the path.
"""

from __future__ import annotations

import json
import os

import pytest
from conformance.document import corrected

collect_ignore_glob = [] if "LUMA_OPENAPI" in os.environ else ["test_*.py"]


@pytest.fixture
def document(tmp_path):
    """The path of the corrected document."""
    path = tmp_path / "openapi.json"
    path.write_text(json.dumps(corrected(os.environ["LUMA_OPENAPI"])))
    return path
