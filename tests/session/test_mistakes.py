"""Mistakes of a first program: each is an error that says what to write instead."""

from __future__ import annotations

import logging

import pytest

from luma_async import ConfigurationError, LumaSession, NotSent, RetryPolicy, SessionClosed

RELAY = "https://relay.example"
KEY = "sk-0123456789abcdefghij"


@pytest.mark.parametrize("key", [RELAY, "http://127.0.0.1:8000", f" {RELAY}"])
def test_address_as_api_key(key):
    """An address in place of the key is refused, with how to name both."""
    with pytest.raises(ConfigurationError, match=r"api_key is an address.*swapped.*base_url="):
        LumaSession(key)


@pytest.mark.parametrize("url", [KEY, "luma-0123-4567", "0123456789abcdef0123456789abcdef"])
def test_key_as_base_url(url):
    """A key in place of the address is refused; the message does not repeat it."""
    with pytest.raises(ConfigurationError, match=r"base_url is a key.*swapped") as caught:
        LumaSession("sk-1", base_url=url)
    assert url not in str(caught.value)


def test_host_without_scheme():
    """A host without its scheme is no key: the message asks for the scheme."""
    with pytest.raises(ConfigurationError, match=r"with its scheme"):
        LumaSession("sk-1", base_url="relay.example")


@pytest.mark.parametrize("arguments", [(RELAY, KEY), (KEY, RELAY)])
def test_two_positional_arguments(arguments):
    """A second argument by position is refused, and no frame of the error shows the key."""
    with pytest.raises(ConfigurationError, match=r"one argument by position.*base_url=") as caught:
        LumaSession(*arguments)
    traceback = caught.value.__traceback__.tb_next
    while traceback is not None:
        assert KEY not in repr(traceback.tb_frame.f_locals)
        traceback = traceback.tb_next


@pytest.mark.parametrize(
    ("dialect", "words"),
    [
        ("agents", r"not 'agents': use dialect=Agents\(\)"),
        ("dream-machine", r"use dialect=DreamMachine\(\)"),
        ("luma", r"use RixAPI\(\), DreamMachine\(\) or Agents\(\)"),
        (LumaSession, r"use RixAPI\(\), DreamMachine\(\) or Agents\(\)"),
    ],
)
def test_dialect_as_name(dialect, words):
    """A name is answered with its instance, anything else with the instances that exist."""
    with pytest.raises(ConfigurationError, match=words):
        LumaSession(KEY, base_url=RELAY, dialect=dialect)


async def test_session_without_async_with(open_session):
    """`with` and `await` on a session say to write `async with`."""
    with pytest.raises(TypeError, match=r"async with LumaSession"), open_session():
        pass
    with pytest.raises(TypeError, match=r"async with LumaSession"):
        await open_session()


async def test_batch_without_async_for(luma):
    """`await`, `for` and `with` on a batch say what to write."""
    batch = luma.batch(["cat dance"])
    with pytest.raises(TypeError, match=r"await batch\.results\(\)"):
        await batch
    with pytest.raises(TypeError, match=r"async for outcome in batch"):
        list(batch)
    with pytest.raises(TypeError, match=r"async with luma.batch"), batch:
        pass
    await batch.aclose()


async def test_submit_before_opening(open_session):
    """A session that is not open says how to open it, and how to take up what was bought."""
    with pytest.raises(SessionClosed, match=r"bought nothing.*async with.*keeps running.*session\.handle\(id\)"):
        await open_session().submit("cat dance")


async def test_unreachable_service_warns_once(open_session, unused_tcp_port, caplog):
    """While nothing listens at the address, one warning says what fails, for how long, and what to check."""
    address = f"http://127.0.0.1:{unused_tcp_port}"
    retry = RetryPolicy(connect_retry_for=0.2, first_delay=0.02)
    async with open_session(base_url=address, retry=retry) as luma:
        with pytest.raises(NotSent):
            await luma.submit("cat dance")
    (record,) = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert record.action == "retried"
    text = record.getMessage()
    expected = (address, "Nothing was sent or charged", "for up to 0.2 s", "Check the network and base_url")
    assert all(words in text for words in expected)
