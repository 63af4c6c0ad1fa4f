"""The gateway answers generated requests, valid and invalid, as the document says."""

from __future__ import annotations

import asyncio

import pytest

from luma_async.testing import DreamMachineBehaviour, FakeGateway, fails, succeeds
from luma_async.testing.dream_machine.validation import BY_KIND

pytestmark = pytest.mark.timeout(900)

# A valid body may get a 400 or 404 for reasons that the document does not state, such as a frame of an unknown
# generation. It must never get a 422, which is the answer to bodies that the schema forbids.
CONFIGURATION = """
[checks.positive_data_acceptance]
expected-statuses = ["2xx", 400, 404]
"""


async def schemathesis(gateway, document, *more):
    """Run schemathesis against the gateway, and return its exit code and output."""
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


async def test_gateway_conforms(document):
    """All phases and checks pass against generations that complete, fail and complete later."""
    ends = (succeeds(0), fails(after=0), succeeds(0.2))
    async with FakeGateway(script=lambda _, index: ends[index % len(ends)], record=False) as gateway:
        code, said = await schemathesis(gateway, document, "--max-examples", "50")
    print(said)
    assert code == 0, said
    # Schemathesis never sends the id of an earlier answer, so no video is extended.
    assert {charge.kind for charge in gateway.charges} >= {*BY_KIND} - {"extend"}


async def test_relay_does_not_conform(document):
    """The answers of a relay do not conform to Luma's document."""
    async with FakeGateway(dream_machine=DreamMachineBehaviour(relay=True), record=False) as gateway:
        code, said = await schemathesis(gateway, document, "--phases", "coverage", "--max-failures", "1")
    assert code == 1, said
