"""Free calls: repeated where that helps, within one deadline and one quota; else each failure has its class."""

from __future__ import annotations

import asyncio
import json

import pytest
from raw_server import RawServer, answers, closes, closes_after_request, response, stalls

from luma_async import (
    ConfigurationError,
    GenerationNotFound,
    LumaSession,
    NoResponse,
    NotSent,
    OutOfCredit,
    RateLimited,
    Refused,
    Retried,
    RetryPolicy,
    RixAPI,
    ServiceUnavailable,
    Timeouts,
    Unauthorized,
    UnreadableResponse,
    UnsupportedOperation,
)
from luma_async._http.queries import Queries
from luma_async._http.transport import Unanswered, Unsent
from luma_async._wire.answer import Answer
from luma_async._wire.dialect import Call, Query
from luma_async.testing import ALWAYS, completes_without_link, drop_after_reading, garbage, rate_limited, server_error
from luma_async.testing import answer as spoiled
from luma_async.values.events import Emitter

pytestmark = pytest.mark.looptime

QUERY = Query(
    call=Call(name="query", method="GET", path="/luma/generations/g1"), read=lambda document: document.payload
)
TASK = {"id": "g1", "state": "pending"}


def answer(status=200, body=None, **rest):
    return Answer(status=status, body=json.dumps(TASK if body is None else body).encode(), **rest)


def error(status, code="", message="no", **rest):
    return answer(status, {"error": {"code": code, "message": message}}, **rest)


class Scripted:
    """A transport that answers from a list, repeating the last, and records when it was asked."""

    def __init__(self, *script):
        self.script = list(script)
        self.asked_at = []

    async def query(self, call):
        self.asked_at.append(asyncio.get_running_loop().time())
        return self.script.pop(0) if len(self.script) > 1 else self.script[0]


def queries(*script, jitter=0.5, retry=None, deadline_s=30.0):
    transport, events = Scripted(*script), []
    asking = Queries(
        transport=transport,
        dialect=RixAPI(),
        retry=retry or RetryPolicy(),
        deadline_s=deadline_s,
        random=lambda: jitter,
        events=Emitter(events.append),
    )
    return asking, transport, events


PASSING = {
    "not sent": Unsent(message="x"),
    "no answer": Unanswered(message="x"),
    "429": error(429),
    "500": error(500),
    "502 with a page": Answer(status=502, body=b"<html>"),
    "503": error(503, "get_channel_failed"),
}
STANDING = {
    "200 false": (answer(200, {"success": False, "message": "no"}), Refused),
    "400": (error(400), Refused),
    "401": (error(401), Unauthorized),
    "403 quota": (error(403, "insufficient_user_quota"), OutOfCredit),
    "404": (error(404), Refused),
    "unknown id": (
        answer(400, {"code": "task_not_exist", "message": "task_not_exist", "data": None}),
        GenerationNotFound,
    ),
    "a page": (Answer(status=200, body=b"<html>"), UnreadableResponse),
    "nothing": (Answer(status=200, body=b""), UnreadableResponse),
    "too much": (Answer(status=200, body=None), UnreadableResponse),
    "two documents": (Answer(status=200, body=b"{}{}"), UnreadableResponse),
    "a redirect": (Answer(status=302, body=b""), Refused),
}


@pytest.mark.parametrize("fault", PASSING)
async def test_repeated_failures(fault):
    """After two passing failures the answer is returned, with a Retried event for each repetition."""
    asking, transport, events = queries(PASSING[fault], PASSING[fault], answer())
    assert await asking.ask(QUERY) == TASK
    assert len(transport.asked_at) == 3
    assert [(event.what, event.attempt) for event in events if isinstance(event, Retried)] == [
        ("query", 1),
        ("query", 2),
    ]


@pytest.mark.parametrize("fault", STANDING)
async def test_permanent_failures(fault):
    """Any other refusal, and an unreadable answer, is raised without repetition."""
    outcome, kind = STANDING[fault]
    asking, transport, events = queries(outcome)
    with pytest.raises(kind):
        await asking.ask(QUERY)
    assert len(transport.asked_at) == 1
    assert events == []


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        ("not sent", NotSent),
        ("no answer", NoResponse),
        ("429", RateLimited),
        ("500", ServiceUnavailable),
        ("502 with a page", ServiceUnavailable),
    ],
)
async def test_last_failure_is_raised(fault, kind):
    """After five attempts the last failure is raised in its own class."""
    asking, transport, _ = queries(PASSING[fault])
    with pytest.raises(kind) as caught:
        await asking.ask(QUERY)
    assert type(caught.value) is kind
    assert len(transport.asked_at) == 5


@pytest.mark.parametrize(
    ("jitter", "expected"), [(0.0, [0, 0, 0, 0, 0]), (0.5, [0, 0.25, 0.75, 1.75, 3.75]), (1.0, [0, 0.5, 1.5, 3.5, 7.5])]
)
async def test_retry_delays(jitter, expected):
    """Delays lie between 0 and a bound that doubles."""
    asking, transport, _ = queries(Unanswered(message="x"), jitter=jitter)
    with pytest.raises(NoResponse):
        await asking.ask(QUERY)
    assert transport.asked_at == pytest.approx(expected, abs=0.001)


async def test_retry_after():
    """The delay that the service names is waited for."""
    asking, transport, events = queries(error(429, retry_after_s=7.0), answer(), jitter=0.0)
    await asking.ask(QUERY)
    assert transport.asked_at == pytest.approx([0, 7], abs=0.001)
    assert [event.delay_s for event in events] == [7.0]


@pytest.mark.parametrize("named_s", [25.0, 61.0])
async def test_retry_after_deadline(named_s):
    """If the named delay ends after the deadline, the failure is raised at once."""
    asking, transport, _ = queries(error(429, retry_after_s=named_s), deadline_s=20)
    with pytest.raises(RateLimited) as caught:
        await asking.ask(QUERY)
    assert caught.value.retry_after_s == named_s
    assert (len(transport.asked_at), transport.asked_at[-1]) == (1, pytest.approx(0, abs=0.001))


async def test_deadline_of_all_attempts():
    """However many attempts the policy allows, none begins after the deadline."""
    asking, transport, _ = queries(
        Unanswered(message="x"), jitter=1.0, retry=RetryPolicy(attempts=1000, max_delay=2), deadline_s=10
    )
    with pytest.raises(NoResponse):
        await asking.ask(QUERY)
    assert len(transport.asked_at) > 4
    assert transport.asked_at[-1] < 10


async def test_retry_quota():
    """All calls share a quota of twenty repetitions, which successes refill."""
    asking, transport, _ = queries(Unanswered(message="x"), jitter=0.0)
    for _ in range(50):
        with pytest.raises(NoResponse):
            await asking.ask(QUERY)
    assert len(transport.asked_at) == 50 + 20
    transport.script = [answer()]
    for _ in range(5):
        await asking.ask(QUERY)
    transport.script, transport.asked_at = [Unanswered(message="x")], []
    with pytest.raises(NoResponse):
        await asking.ask(QUERY)
    assert len(transport.asked_at) == 2


async def test_ask_once():
    """`ask_once` does not repeat, since the watcher has its own schedule."""
    asking, transport, _ = queries(Unanswered(message="x"))
    with pytest.raises(NoResponse):
        await asking.ask_once(QUERY)
    assert len(transport.asked_at) == 1


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ({**TASK, "state": "failed", "error": {"message": "Job failed"}}, True),
        ({**TASK, "state": "failed", "error": "Job failed"}, True),
        ({**TASK, "state": "failed", "code": "content_policy", "message": "not allowed"}, True),
        ({"task_id": "g1", "status": "FAILURE", "code": "content_policy"}, True),
        ({"code": "query_failed", "message": "try later", "data": {**TASK, "state": "failed"}}, False),
        ({"task_id": "g1", "status": "failed", "success": False, "message": "system busy"}, False),
        ({"task_id": "g1", "status": "failed", "success": False, "error": "system busy"}, False),
        ({"error": {"message": "try later"}, "data": {**TASK, "state": "failed"}}, False),
        ({**TASK, "state": "pending", "error": {"message": "the service behind is down"}}, False),
        ({"state": "failed", "error": {"message": "Job failed"}}, False),
        ({"id": "g1", "error": {"message": "Job failed"}}, False),
    ],
)
async def test_error_of_ended_generation(body, told):
    """The error in a generation that has failed is its reason; any other error is a failure of the call."""
    asking, _, _ = queries(answer(200, body))
    if told:
        assert await asking.ask_once(QUERY) == body
        return
    with pytest.raises(Refused):
        await asking.ask_once(QUERY)


async def test_cancel_during_delay():
    """A call that is cancelled during a delay sends no further request."""
    asking, transport, _ = queries(error(429, retry_after_s=20.0))
    asked = asyncio.ensure_future(asking.ask(QUERY))
    await asyncio.sleep(5)
    asked.cancel()
    await asyncio.wait([asked])
    await asyncio.sleep(60)
    assert len(transport.asked_at) == 1


SOCKETS = {
    "closed at once": (closes(), NoResponse),
    "closed after the request": (closes_after_request(), NoResponse),
    "silent": (stalls(), NoResponse),
    "cut": (closes_after_request(response(200, TASK)[:-3]), NoResponse),
    "garbage": (closes_after_request(b"no HTTP\r\n\r\n"), NoResponse),
    "a page": (answers(response(200, b"<html>")), UnreadableResponse),
    "another generation": (answers(response(200, {**TASK, "id": "g2"})), UnreadableResponse),
    "no generation": (answers(response(200, {"data": None})), UnreadableResponse),
    "500": (answers(response(500, {"detail": "x"})), ServiceUnavailable),
}


@pytest.mark.parametrize("fault", SOCKETS)
async def test_errors_on_the_wire(fault):
    """No complete answer is NoResponse, a failure ServiceUnavailable, and anything unreadable UnreadableResponse."""
    act, kind = SOCKETS[fault]
    settings = {"retry": RetryPolicy(attempts=2, first_delay=0.1), "timeouts": Timeouts(request=5)}
    async with RawServer(act) as server, LumaSession("sk-q", base_url=server.base_url, **settings) as luma:
        with pytest.raises(kind) as caught:
            await luma.get("g1")
        assert type(caught.value) is kind


@pytest.mark.parametrize("fault", [drop_after_reading(), garbage(), server_error(502, html=True), rate_limited(1)])
async def test_session_repeats_free_calls(gateway, fault):
    """Single queries, queries for many, and balances survive a failure."""
    async with LumaSession(gateway.api_key, base_url=gateway.base_url) as luma:
        handles = [await luma.submit(prompt) for prompt in ("cat dance", "dog dance")]
        for on in ("query", "tasks", "key"):
            gateway.inject(fault, on=on)
        assert (await luma.get(handles[0].id)).id == handles[0].id
        assert list(await luma.get_many([handle.id for handle in handles])) == [handle.id for handle in handles]
        assert (await luma.account.key()).available is not None
    assert (gateway.counts["query"], gateway.counts["tasks"], gateway.counts["key"]) == (2, 2, 2)


async def test_link_is_asked_once(gateway):
    """Some relays charge for the link, so the request is not repeated."""
    gateway.scripts["cat dance"] = completes_without_link(after=1)
    gateway.inject(server_error(500), on="link", times=ALWAYS)
    async with LumaSession(gateway.api_key, base_url=gateway.base_url) as luma:
        handle = await luma.submit("cat dance")
        await handle
        with pytest.raises(ServiceUnavailable):
            await handle.video_url()
    assert gateway.counts["link"] == 1


async def test_balance_errors(gateway):
    """The account needs an access token, relays have no credits, and two documents are no balance."""
    async with LumaSession(gateway.api_key, base_url=gateway.base_url) as luma:
        with pytest.raises(ConfigurationError, match="access_token"):
            await luma.account.user()
        with pytest.raises(UnsupportedOperation, match="credits"):
            await luma.account.credits()
        assert gateway.counts.total() == 0
        gateway.inject(spoiled(200, '{"code":true,"data":{}}{"code":true,"data":{}}'), on="key")
        with pytest.raises(UnreadableResponse, match="several documents"):
            await luma.account.key()
