"""Recorded responses, as JSON and as documents."""

from __future__ import annotations

import json
from pathlib import Path

from luma_async._wire.answer import Answer, parse

FOLDER = Path(__file__).parent / "samples"


def names(kind):
    """Return the names of all samples of a kind, such as `rixapi` or `errors`."""
    return sorted(path.stem for path in (FOLDER / kind).glob("*.json"))


def sample(kind, name):
    """Return a decoded sample."""
    return json.loads((FOLDER / kind / f"{name}.json").read_text())


def document(payload, status=200):
    """Return the document of a response with this JSON."""
    return raw_document(json.dumps(payload), status)


def raw_document(text, status=200):
    """Return the document of a response with this body."""
    return parse(Answer(status=status, body=text.encode()))


def error_document(name):
    """Return the document of a recorded error: its JSON, or its text if it is not JSON."""
    recorded = sample("errors", name)
    text = recorded["raw"] if "raw" in recorded else json.dumps(recorded["body"], ensure_ascii=False)
    return raw_document(text, recorded["status"])
