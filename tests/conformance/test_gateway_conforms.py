"""The gateway answers generated requests, good and bad ones, as the document says."""

from __future__ import annotations

import asyncio

import pytest

from luma_async.testing import DreamMachineBehaviour, FakeGateway, fails, succeeds
from luma_async.testing.dream_machine.validation import BY_KIND

pytestmark = pytest.mark.timeout(900)

# What the service refuses for reasons of its own, such as a frame of a generation that does not exist, is a 400 or 404
# and not in the document; a body that the schema forbids is a 422, and one that it allows must never be.
CONFIGURATION = """
[checks.positive_data_acceptance]
expected-statuses = ["2xx", 400, 404]
"""


async def schemathesis(gateway, document, *more):
    """Let it attack the gateway, and return its exit code and what it said."""
    configuration = document.with_name("schemathesis.toml")
    configuration.write_text(CONFIGURATION)
    process = await asyncio.create_subprocess_exec(
        *("st", "--config-file", str(configuration), "run", str(document), "--url", gateway.base_url),
        *("--header", f"Authorization: Bearer {gateway.api_key}", "--continue-on-failure", "--seed", "1", *more),
        cwd=document.parent,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await process.communicate()
    return process.returncode, said.decode()


async def test_the_gateway_keeps_to_the_document(document):
    """All phases and all checks, against a gateway whose generations end well, badly and later: no failure."""
    ends = (succeeds(0), fails(after=0), succeeds(0.2))
    async with FakeGateway(script=lambda _, index: ends[index % len(ends)], record=False) as gateway:
        code, said = await schemathesis(gateway, document, "--max-examples", "50")
    print(said)
    assert code == 0, said
    # It makes up no body that names the id of an earlier answer, so nothing is extended.
    assert {charge.kind for charge in gateway.charges} >= {*BY_KIND} - {"extend"}


async def test_a_gateway_that_does_not_is_found_out(document):
    """A relay's answers are no answers of the service."""
    async with FakeGateway(dream_machine=DreamMachineBehaviour(relay=True), record=False) as gateway:
        code, said = await schemathesis(gateway, document, "--phases", "coverage", "--max-failures", "1")
    assert code == 1, said
