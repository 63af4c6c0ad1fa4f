"""How values are displayed: short in a terminal, as a video in a notebook, and never with a secret or with markup."""

from __future__ import annotations

from html.parser import HTMLParser

import pytest

from luma_async import (
    Generation,
    GenerationFailed,
    Image,
    LumaError,
    Outcome,
    State,
    SubmitInDoubt,
    UpscaleRequest,
    Video,
    VideoRequest,
)

SIGNED = "https://cdn.example/clip.mp4?X-Amz-Signature=0000"
DONE = Generation(
    id="g-1",
    state=State.COMPLETED,
    raw_state="completed",
    prompt="cat dance",
    video=Video(
        url="https://cdn.example/marked.mp4", download_url=SIGNED, thumbnail_url="https://cdn.example/still.jpg"
    ),
    raw={"video": {"download_url": SIGNED}},
)
FAILED = Generation(id="g-2", state=State.FAILED, prompt="cat dance", failure_reason="Frame moderation failed")
NASTY = '"><script>hacked()</script>'


class Parsed(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.tags = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_data(self, data):
        self.text += data

    def first(self, tag):
        return next((found for name, found in self.tags if name == tag), None)


def shown(value):
    return Parsed(value._repr_html_())


def test_repr_of_a_generation():
    """The repr of a generation is short and has no link."""
    assert repr(DONE) == "Generation(id='g-1', state='completed', prompt='cat dance')"
    assert repr(FAILED).endswith("state='failed', prompt='cat dance', failure_reason='Frame moderation failed')")
    long = Generation(id="g", state=State.PENDING, prompt="word " * 1000, failure_reason="reason " * 1000)
    assert len(repr(long)) < 250


def test_repr_of_a_link():
    """The repr of a link does not show its query."""
    for value in (DONE.video, Image(url=SIGNED), Outcome(index=0, generation=DONE), GenerationFailed(generation=DONE)):
        assert "Signature" not in repr(value)
    assert repr(Image(url=SIGNED)) == "Image(url='https://cdn.example/clip.mp4?…', width=None, height=None)"
    assert repr(Image(url="https://cdn.example/a.jpg")).startswith("Image(url='https://cdn.example/a.jpg',")
    assert len(repr(Image(url="data:image/png;base64," + "A" * 10_000))) < 300


def test_notebook_shows_video():
    """A notebook shows the watermark-free video with its still image, state and prompt."""
    page = shown(DONE)
    assert page.first("video")["src"] == SIGNED
    assert page.first("video")["poster"] == "https://cdn.example/still.jpg"
    assert page.first("a")["href"] == SIGNED
    assert "completed" in page.text
    assert "cat dance" in page.text


@pytest.mark.parametrize(
    ("links", "src"),
    [
        ({"video": Video(url="https://a/1"), "video_raw": Video(url="https://a/2")}, "https://a/2"),
        (
            {"video": Video(url="https://a/1"), "video_raw": Video(url="https://a/2", download_url="https://a/3")},
            "https://a/3",
        ),
        ({"video": Video(url="https://a/1")}, "https://a/1"),
        ({"video": Video()}, None),
        ({}, None),
        ({"video": Video(url="javascript:hacked()")}, None),
        ({"video": Video(url="data:text/html,hacked")}, None),
    ],
)
def test_choice_of_link(links, src):
    """A link without a watermark is preferred, and only http(s) links are shown."""
    video = shown(Generation(id="g", state=State.COMPLETED, **links)).first("video")
    assert (video and video["src"]) == src


def test_notebook_shows_image():
    """A generation that is an image is shown without a player."""
    page = shown(Generation(id="g", state=State.COMPLETED, image=Image(url="https://a/1.jpg")))
    assert page.first("img")["src"] == "https://a/1.jpg"
    assert page.first("video") is None


def test_notebook_shows_reason():
    """A failed generation shows its state and its reason, without a player."""
    page = shown(FAILED)
    assert page.first("video") is None
    assert "failed" in page.text
    assert "Frame moderation failed" in page.text


def test_notebook_shows_outcome():
    """An outcome shows its generation or its error."""
    assert Outcome(index=0, generation=DONE)._repr_html_() == DONE._repr_html_()
    doubt = shown(Outcome(index=1, request=VideoRequest("a dog"), error=SubmitInDoubt(key="dog")))
    assert "SubmitInDoubt" in doubt.text
    assert "a dog" in doubt.text
    assert "session.doubts" in doubt.text
    assert "LumaError" in shown(Outcome(index=2, request=UpscaleRequest("g-1"), error=LumaError(message="no"))).text


def test_markup_is_escaped():
    """Markup in a prompt, a state, a reason or a link adds no element."""
    nasty = Generation(
        id=NASTY,
        state=State.UNKNOWN,
        raw_state=NASTY,
        prompt=NASTY,
        failure_reason=NASTY,
        video=Video(url="https://a/" + NASTY, thumbnail_url="https://a/" + NASTY),
    )
    page = shown(nasty)
    assert page.text.count(NASTY) == 3
    assert page.first("video")["src"] == "https://a/" + NASTY
    assert {name for name, _ in page.tags} == {"figure", "video", "figcaption", "strong", "div", "a"}
    error = shown(Outcome(index=0, request=VideoRequest(NASTY), error=LumaError(message=NASTY)))
    assert error.text.count(NASTY) == 2
    assert error.first("script") is None
