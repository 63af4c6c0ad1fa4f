"""Which repeated prompts show that a service has read another prompt, and what a submit says about that."""

from __future__ import annotations

import pytest

from luma_async import DreamMachine, LumaSession, PromptMismatch, RixAPI, Submitted
from luma_async._submit.prompt_echo import is_other_prompt
from luma_async.testing import reshapes

pytestmark = pytest.mark.looptime

LONG = "A red kite over the sea, " * 12

SAME = {
    "equal": ("a cat", "a cat"),
    "no-repeated-prompt": ("a cat", None),
    "spaces": ("a  cat\n dances", " a cat dances "),
    "decomposed": ("caf\u00e9 at night", "cafe\u0301 at night"),
    "composed": ("cafe\u0301", "caf\u00e9"),
    "full-width": ("\uff23\uff21\uff34", "CAT"),
    "case": ("A Cat", "a cat"),
    "quotes": ("a \u201cbig\u201d cat", 'a "big" cat'),
    "html": ("salt & pepper <3", "salt &amp; pepper &lt;3"),
    "ellipsis": (LONG, LONG[:40] + "..."),
    "ellipsis-character": (LONG, LONG[:40] + "\u2026"),
    "long-cut": (LONG, LONG[:128]),
    "emoji-dropped": ("a cat \U0001f431", "a cat"),
    "flags-added": ("a cat", "a cat --ar 16:9"),
    "sent-blank": (" ", ""),
    "only-emoji": ("\U0001f431", "\U0001f436"),
    "chinese-punctuation": ("\u732b\uff0c\u8df3\u821e", "\u732b,\u8df3\u821e"),
}
OTHER = {
    "empty": ("a cat", ""),
    "blank": ("a cat", " \n"),
    "another": ("a cat", "a dog"),
    "short-cut": ("a cat dances", "a cat"),
    "ellipsis-of-another": ("a cat dances", "a dog..."),
    "only-ellipsis": ("a cat", "..."),
    "field-name": ("a cat", "undefined"),
    "unreadable": ("\u732b\u8df3\u821e", "????"),
    "empty-for-emoji": ("\U0001f431", ""),
}


@pytest.mark.parametrize(("sent", "repeated"), SAME.values(), ids=SAME)
def test_same_prompt(sent, repeated):
    """A prompt that is absent, in another spelling, shortened or extended is the prompt that was sent."""
    assert not is_other_prompt(sent, repeated, expanded=False)


@pytest.mark.parametrize(("sent", "repeated"), OTHER.values(), ids=OTHER)
def test_other_prompt(sent, repeated):
    """An empty prompt or other words are another prompt."""
    assert is_other_prompt(sent, repeated, expanded=False)


@pytest.mark.parametrize(("repeated", "other"), [("A fluffy feline", False), ("", True), ("a cat", False)])
def test_expanded_prompt(repeated, other):
    """A service that was asked to improve the prompt may repeat any other, but not an empty one."""
    assert is_other_prompt("a cat", repeated, expanded=True) is other


@pytest.fixture
def events():
    return []


async def submitted(gateway, events, change, *, base_url=None, dialect=None, **fields):
    """Submit once, with a response that is changed; return the events."""
    gateway.inject(reshapes(change))
    async with LumaSession(
        gateway.api_key, base_url=base_url or gateway.base_url, dialect=dialect or RixAPI(), on_event=events.append
    ) as luma:
        handle = await luma.submit("cat dance", key="cat", **fields)
    assert [charge.generation_id for charge in gateway.charges] == [handle.id]
    return [event for event in events if isinstance(event, PromptMismatch)]


WRONG = {
    "flat": lambda body: body | {"prompt": ""},
    "wrapped": lambda body: {"code": 0, "data": body | {"prompt": " "}},
    "request": lambda body: {**body, "prompt": None, "request": {"prompt": "another"}},
    "user-prompt": lambda body: {key: value for key, value in body.items() if key != "prompt"} | {"user_prompt": ""},
}


@pytest.mark.parametrize("change", WRONG.values(), ids=WRONG)
async def test_prompt_mismatch_event(gateway, events, caplog, change):
    """The submit is accepted; an event follows it, and an ERROR names the edition to set and no prompt."""
    [mismatch] = await submitted(gateway, events, change)
    assert [type(event) for event in events] == [Submitted, PromptMismatch]
    assert (mismatch.key, mismatch.sent) == ("cat", "cat dance")
    assert mismatch.generation_id in gateway.generations
    [record] = [record for record in caplog.records if record.levelname == "ERROR"]
    assert 'RixAPI(edition="2024") (--edition 2024)' in record.getMessage()
    assert "cat dance" not in record.getMessage()


RIGHT = {
    "absent": lambda body: {key: value for key, value in body.items() if key != "prompt"},
    "null": lambda body: body | {"prompt": None},
    "number": lambda body: body | {"prompt": 0},
    "empty-with-request": lambda body: body | {"prompt": "", "request": {"prompt": "cat dance"}},
    "spaces": lambda body: body | {"prompt": " cat  dance"},
}


@pytest.mark.parametrize("change", RIGHT.values(), ids=RIGHT)
async def test_no_prompt_mismatch(gateway, events, caplog, change):
    """Without a repeated prompt, or with the same, there is neither an event nor an error."""
    assert await submitted(gateway, events, change) == []
    assert "ERROR" not in caplog.text


async def test_empty_prompt_in_edition_2024(gateway, events):
    """Relays of the edition of 2024 that repeat an empty prompt are recorded: there it shows nothing."""
    change = lambda body: body | {"prompt": ""}  # noqa: E731 - a row of the tables above
    assert await submitted(gateway, events, change, dialect=RixAPI(edition="2024")) == []


async def test_other_prompt_in_edition_2024(gateway, events, caplog):
    """With the edition of 2024, another prompt is reported, and the advice is the other edition."""
    change = lambda body: body | {"prompt": "another"}  # noqa: E731 - a row of the tables above
    assert len(await submitted(gateway, events, change, dialect=RixAPI(edition="2024"))) == 1
    assert "--edition 2025" in caplog.text


async def test_other_prompt_in_dream_machine(gateway, events, caplog):
    """Luma's own format repeats the request; another prompt in it is reported."""
    change = lambda body: {**body, "request": body["request"] | {"prompt": ""}}  # noqa: E731 - as above
    address = gateway.dream_machine_url
    assert len(await submitted(gateway, events, change, base_url=address, dialect=DreamMachine(), model="ray-2")) == 1
    assert "--dialect" in caplog.text
