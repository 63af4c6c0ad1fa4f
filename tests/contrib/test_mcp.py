"""The MCP server, with a client in the same process: schemas, errors, resources, progress, approval, limits."""

from __future__ import annotations

import asyncio
import base64
import json
import logging

import mcp_types
import pytest
from fastmcp import Client
from fastmcp.client.elicitation import ElicitResult
from fastmcp.exceptions import ToolError
from mcp import MCPError

from luma_async import Budget, ConfigurationError, JournalError
from luma_async.contrib import mcp
from luma_async.contrib import tools as tools_module
from luma_async.contrib.mcp import mcp_server
from luma_async.testing import answer, stalls

BUYING = {"submit_video", "extend_video"}
"""The tools that cost money at a relay."""
KEY = "sk-canary-that-no-answer-may-show"


@pytest.fixture
def gateway_options(gateway_options):
    return {**gateway_options, "api_key": KEY}


@pytest.fixture
async def client(luma, folder):
    async with Client(await mcp_server(luma, folder)) as client:
        yield client


async def call(client, name, **arguments):
    """Call a tool, and return its structured result."""
    return (await client.call_tool(name, arguments, raise_on_error=False)).structured_content


class TestSchema:
    async def test_every_field_is_described(self, client):
        """Each tool, argument and field of a result has a description, and says whether it costs money."""
        tools = await client.list_tools()
        assert {tool.name for tool in tools} >= {
            "submit_video",
            "wait",
            "status",
            "download",
            "list",
            "in_doubt",
            "budget",
        }
        for tool in tools:
            money = "costs money" if tool.name in BUYING else "free"
            assert money in tool.description
            assert [name for name, field in tool.input_schema["properties"].items() if "description" not in field] == []
            assert [
                name for name, field in tool.output_schema["properties"].items() if "description" not in field
            ] == []

    async def test_hints_for_clients(self, client):
        """A client is told which tools buy, and that a repeated call buys nothing."""
        hints = {tool.name: tool.annotations for tool in await client.list_tools()}
        assert {name for name, hint in hints.items() if hint.destructive_hint} == BUYING
        assert hints["submit_video"].idempotent_hint
        assert hints["wait"].read_only_hint

    async def test_unknown_argument(self, client, gateway):
        """An argument that no tool has is refused, and nothing is bought."""
        with pytest.raises(ToolError):
            await client.call_tool("submit_video", {"prompt": "a cat", "api_key": "x"})
        assert gateway.charges == ()


class TestAnswers:
    async def test_problem_is_an_error(self, client):
        """A call that could not do its work is an error of MCP, with the same structured result."""
        result = await client.call_tool("wait", {"handle": "nothing"}, raise_on_error=False)
        assert result.is_error
        assert result.structured_content["problem"]["kind"] == "InvalidInput"

    async def test_progress_of_a_wait(self, client, gateway, monkeypatch):
        """A client that asks for it sees the progress while it waits."""
        monkeypatch.setattr(tools_module, "_REPORT_EVERY_S", 0.05)
        seen = []

        async def show(progress, total, message):
            seen.append((total, message))

        gateway.scripts["a cat"] = stalls()
        bought = await call(client, "submit_video", prompt="a cat")
        await client.call_tool("wait", {"handle": bought["handle"], "seconds": 2}, progress_handler=show)
        assert all(total <= 2 for total, _ in seen)
        assert "The generation is processing." in {message for _, message in seen}

    async def test_service_that_repeats_the_key(self, client, gateway, caplog):
        """An API key that a service repeats in an error is in no answer and in no log."""
        caplog.set_level(logging.DEBUG)
        gateway.inject(answer(400, {"error": {"message": f"wrong key {KEY}", "code": KEY}}), on="submit")
        result = await client.call_tool("submit_video", {"prompt": "a cat"}, raise_on_error=False)
        assert "wrong key" in str(result)
        assert KEY not in str(result)
        assert KEY not in caplog.text

    async def test_journal_path_is_hidden(self, client, luma, monkeypatch):
        """A journal that cannot be used is an error without its path."""

        async def fail(key):
            raise JournalError(path="/home/me/jobs.db", message="cannot be read")

        monkeypatch.setattr(luma.journal, "get", fail)
        with pytest.raises(ToolError, match="The journal cannot be used") as caught:
            await client.call_tool("wait", {"handle": "cat"})
        assert "/home" not in str(caught.value)

    async def test_unexpected_error_is_hidden(self, client, luma, monkeypatch):
        """An error that the library does not know is shown without its text."""

        async def fail(key):
            raise RuntimeError("/home/me/jobs.db")

        monkeypatch.setattr(luma.journal, "get", fail)
        with pytest.raises(ToolError) as caught:
            await client.call_tool("wait", {"handle": "cat"})
        assert "/home" not in str(caught.value)

    async def test_too_many_calls(self, client, gateway, monkeypatch):
        """Above so many calls at once further ones are refused, and the others are not disturbed."""
        monkeypatch.setattr(mcp, "MAX_CALLS", 5)
        gateway.scripts["a cat"] = stalls()
        await call(client, "submit_video", prompt="a cat", key="cat")
        waits = [client.call_tool("wait", {"handle": "cat", "seconds": 0.5}, raise_on_error=False) for _ in range(20)]
        results = await asyncio.gather(*waits)
        assert sum(result.is_error for result in results) == 15


class TestResources:
    async def test_clip_and_poster(self, client, folder):
        """The clip of a purchase is its file, which is downloaded if necessary; the poster is a picture."""
        bought = await call(client, "submit_video", prompt="a cat", key="cat")
        await call(client, "wait", handle=bought["handle"])
        [clip] = await client.read_resource("luma://clip/cat")
        [path] = folder.iterdir()
        assert (base64.b64decode(clip.blob), clip.mime_type) == (path.read_bytes(), "video/mp4")
        [poster] = await client.read_resource("luma://poster/cat")
        assert poster.mime_type == "image/jpeg"

    @pytest.mark.parametrize(
        "place", ["clip/nothing", "poster/nothing", "clip/..%2f..%2fetc%2fpasswd", "clip//etc/passwd"]
    )
    async def test_resource_that_does_not_exist(self, place, client):
        """A resource is only what was bought with the tools; no path of this machine is one."""
        with pytest.raises(Exception, match=r"nothing was bought|not found|Unknown"):
            await client.read_resource(f"luma://{place}")

    @pytest.mark.parametrize("kind", ["clip", "poster"])
    async def test_large_file(self, kind, client, monkeypatch):
        """A file that is too large for a client is not passed on."""
        monkeypatch.setattr(mcp, "MAX_RESOURCE_BYTES", 100)
        await call(client, "submit_video", prompt="a cat", key="cat")
        await call(client, "wait", handle="cat")
        with pytest.raises(Exception, match="too large"):
            await client.read_resource(f"luma://{kind}/cat")


class TestApproval:
    @pytest.fixture
    def session_options(self, session_options):
        return {**session_options, "budget": Budget(purchases=5, per="day", price={"default": "0.40"})}

    @pytest.fixture
    async def server(self, luma, folder):
        return await mcp_server(luma, folder, confirm=True)

    @pytest.mark.parametrize("mode", ["legacy", "2026-07-28"])
    async def test_person_is_asked_once(self, mode, server, gateway):
        """A person decides about each purchase by prompt, price and what is left; a repeated call asks nothing."""
        asked = []

        async def decide(message, response_type, params, context):
            asked.append(message)
            return {"buy": "cat" in message}

        async with Client(server, elicitation_handler=decide, mode=mode) as client:
            bought = [await call(client, "submit_video", prompt=prompt) for prompt in ("a cat", "a cat", "a dog")]
        assert [each["state"] for each in bought] == ["running", "running", "not_bought"]
        assert asked[0] == 'Buy this (submit)? It costs 0.40. 5 purchases are left. The prompt: "a cat"'
        assert len(asked) == 2
        assert len(gateway.charges) == 1

    @pytest.mark.parametrize("mode", ["legacy", "2026-07-28"])
    @pytest.mark.parametrize("action", ["decline", "cancel"])
    async def test_person_declines(self, mode, action, server, gateway):
        """A purchase that a person does not approve is not sent."""

        async def decide(message, response_type, params, context):
            return ElicitResult(action=action)

        async with Client(server, elicitation_handler=decide, mode=mode) as client:
            refused = await call(client, "submit_video", prompt="a cat")
        assert (refused["state"], refused["charged"]) == ("not_bought", "no")
        assert gateway.charges == ()

    async def test_approval_of_another_purchase(self, server, gateway):
        """An approval counts for the purchase that it was given for, not for another one."""

        async def refuse(message, response_type, params, context):
            return ElicitResult(action="decline")

        yes = {"approval": mcp_types.ElicitResult(action="accept", content={"buy": True})}
        async with Client(server, elicitation_handler=refuse, mode="2026-07-28") as client:

            async def submit(prompt, **answer):
                arguments = {"prompt": prompt}
                return await client.session.call_tool("submit_video", arguments, allow_input_required=True, **answer)

            asked = await submit("a cat")
            with pytest.raises(MCPError, match="requestState"):
                await submit("a dog", input_responses=yes, request_state=asked.request_state)
            forged = await submit("a dog", input_responses=yes)
            assert {asked.result_type, forged.result_type} == {"input_required"}
            assert gateway.charges == ()
            await submit("a cat", input_responses=yes, request_state=asked.request_state)
        assert [charge.prompt for charge in gateway.charges] == ["a cat"]

    @pytest.mark.parametrize("mode", ["legacy", "2026-07-28"])
    async def test_client_that_cannot_ask(self, mode, server, gateway):
        """A client that cannot ask a person buys nothing."""
        async with Client(server, mode=mode) as client:
            refused = await call(client, "submit_video", prompt="a cat")
        assert "cannot ask" in json.dumps(refused)
        assert gateway.charges == ()


class TestStart:
    @pytest.mark.parametrize("budget", [None, Budget(price={"default": 1})])
    async def test_limit_is_required(self, budget, open_session, folder):
        """A server without a spending limit does not start."""
        async with open_session(budget=budget) as luma:
            with pytest.raises(ConfigurationError, match="--max-purchases"):
                await mcp_server(luma, folder)
