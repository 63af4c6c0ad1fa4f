"""The gallery's page shows a prompt as text, and runs only its own script and style."""

from __future__ import annotations

import base64
import hashlib
import re
from datetime import UTC, datetime, timedelta, timezone
from html.parser import HTMLParser

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from luma_async import Entry, Generation, Phase, State
from luma_async.gallery import Card, Clip, card_of, render
from luma_async.gallery.page import asset, duration

AT = datetime(2025, 11, 24, 21, 40, tzinfo=UTC)
PLAIN = Card(key="cat", phase=Phase.COMPLETED, prompt="cat dance", clip=Clip(address="cat.mp4"), sent_at=AT, took_s=64)
UNSAFE = {
    "script": "<script>window.hacked = 1</script>",
    "end of script": "</script><img src=x onerror=hacked()>",
    "end of style": "</style></title></textarea><!--",
    "quotes": """it's "quoted" 'twice' `thrice`""",
    "attribute": '" onmouseover="hacked()" x="',
    "entity": "&lt;b&gt; &amp;amp; &#39; &copy &notit;",
    "comment": "<!-- <![CDATA[ ]]> -->",
    "placeholder": "$script ${cards} $$ %s {count}",
    "line separators": "one\u2028two\u2029three\u0085four",
    "right to left": "شلال في غابة \u202e evil \u2066 isolated",
    "emoji": "a 👩‍👩‍👧‍👦 family, e\u0301 and \U0001d518\U0001d52b",
    "lines": "first\n\n  second\n\tthird\nfourth",
    "very long": "long " * 20_000,
    "one word": "a" * 100_000,
}


class Parsed(HTMLParser):
    """The elements of a page, as a browser parses them."""

    def __init__(self, page):
        super().__init__()
        self.tags = []
        self.texts = {}
        self._within = [None]
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        self.tags.append((tag, found))
        if tag in {"script", "style", "title", "h1"} or "prompt" in (found.get("class") or "").split():
            self._within.append(found.get("id") or tag)
            self.texts[self._within[-1]] = ""

    def handle_data(self, data):
        if self._within[-1] is not None:
            self.texts[self._within[-1]] += data

    def handle_endtag(self, tag):
        if self._within[-1] is not None and tag in {"script", "style", "title", "h1", "p", "span"}:
            self._within.pop()

    def all(self, tag):
        return [found for name, found in self.tags if name == tag]


def shape(page):
    """Return the elements of a page with the names of their attributes."""
    return [(tag, sorted(found)) for tag, found in Parsed(page).tags]


@pytest.mark.parametrize("text", UNSAFE.values(), ids=UNSAFE)
def test_prompt_is_escaped(text):
    """A prompt is shown unchanged, and adds no element and no script."""
    page = render([attrs.evolve(PLAIN, prompt=text)], title="clips")
    parsed = Parsed(page)
    assert parsed.texts["prompt-0"] == text
    assert len(parsed.all("script")) == len(parsed.all("style")) == 1
    assert parsed.texts["script"] == asset("page.js")


@pytest.mark.parametrize("text", UNSAFE.values(), ids=UNSAFE)
def test_other_texts_are_escaped(text):
    """Markup in a key, a reason, an id, a detail, a kind, an address or a title is shown as text."""
    texts = {"key": "k", "reason": "r", "generation_id": "i", "details": ("d",), "kind": "w"}
    for missing in (False, True):
        clip = Clip(address="a", poster="p", missing=missing)
        safe = render([attrs.evolve(PLAIN, clip=clip, **texts)], title="t")
        unsafe = {name: (text,) if name == "details" else text for name in texts}
        page = render(
            [attrs.evolve(PLAIN, clip=attrs.evolve(clip, address=text, poster=text), **unsafe)],
            title=text,
        )
        assert shape(page) == shape(safe)
        assert Parsed(page).texts["h1"] == Parsed(page).texts["title"] == text


@given(st.text(st.characters(exclude_characters="\r\0", exclude_categories=["Cs"]), min_size=1))
def test_any_prompt(text):
    """Every text that HTML can contain is shown unchanged."""
    assert Parsed(render([attrs.evolve(PLAIN, prompt=text)], title="clips")).texts["prompt-0"] == text


def test_policy_hashes():
    """The policy allows the script and the style by their hashes, and nothing else."""
    page = render([PLAIN], title="clips")
    policy = next(
        found["content"] for found in Parsed(page).all("meta") if found.get("http-equiv") == "Content-Security-Policy"
    )
    rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
    for tag in ("script", "style"):
        (text,) = re.findall(rf"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert rules[f"{tag}-src"] == f"'sha256-{digest}'"
    assert rules["default-src"] == "'none'"
    assert rules["base-uri"] == rules["form-action"] == "'none'"
    assert not re.search(r"unsafe|https?:|\*|data:|blob:", policy)


def test_policy_comes_first():
    """The policy is before the style and the script, because a meta tag applies to what follows it."""
    page = render([PLAIN], title="clips")
    assert page.index("Content-Security-Policy") < page.index("<style>") < page.index("<script>")


def test_no_inline_code_or_urls():
    """No element has an event handler or a style attribute, and no URL leads to a network."""
    page = render([attrs.evolve(PLAIN, clip=Clip(address="cat.mp4", poster="cat.jpg"))], title="clips")
    names = {name for _, found in Parsed(page).tags for name in found}
    assert not [name for name in names if name.startswith("on") or name == "style"]
    assert not re.search(r"https?://|//[a-z]", page.replace("// ", ""))


def test_assets_are_safe():
    """The script and the style contain no closing tag, and no call that turns text into markup."""
    assert "</" not in asset("page.js")
    assert "</" not in asset("page.css")
    assert not re.search(r"innerHTML|insertAdjacentHTML|document\.write|eval\(|new Function", asset("page.js"))


def test_page_is_deterministic():
    """The page depends on the cards and the title only, and not on the local time zone."""
    here = attrs.evolve(PLAIN, sent_at=AT.astimezone(timezone(timedelta(hours=9))))
    assert render([PLAIN], title="clips") == render(iter([here]), title="clips")


def test_ids_and_references():
    """Each id occurs once, and icons and labels refer to existing ids."""
    cards = [attrs.evolve(PLAIN, phase=phase, clip=None, reason="so") for phase in Phase]
    clips = [Clip(address="a.mp4"), Clip(address="a.png", kind="picture"), Clip(address="b.mp4", missing=True)]
    page = Parsed(render([*cards, *(attrs.evolve(PLAIN, clip=clip) for clip in clips)], title="clips"))
    ids = [found["id"] for _, found in page.tags if "id" in found]
    assert len(ids) == len(set(ids))
    assert {found["href"] for found in page.all("use")} <= {f"#{name}" for name in ids}
    assert {found["aria-labelledby"] for found in page.all("article")} <= set(ids)


def test_accessible_names():
    """Buttons and links have labels, pictures have an alt text, and icons are hidden from screen readers."""
    cards = [PLAIN, attrs.evolve(PLAIN, clip=Clip(address="a.png", kind="picture"))]
    page = Parsed(render(cards, title="clips"))
    assert all(found.get("aria-label") for found in [*page.all("button"), *page.all("a")])
    assert all("alt" in found for found in page.all("img"))
    assert all(found.get("aria-hidden") == "true" for found in page.all("svg"))


def test_no_players_in_page():
    """The page contains URLs and no players, because a browser would load a thousand players at once."""
    page = Parsed(render([attrs.evolve(PLAIN, clip=Clip(address="cat.mp4", poster="cat.jpg"))], title="clips"))
    (stage,) = [found for found in page.all("div") if "data-src" in found]
    assert (stage["data-src"], stage["data-poster"]) == ("cat.mp4", "cat.jpg")
    assert page.all("video") == page.all("img") == []
    (link,) = page.all("a")
    assert link["href"] == "cat.mp4"


@pytest.mark.parametrize("phase", Phase)
def test_card_without_clip(phase):
    """A card without a clip shows its phase and its reason."""
    page = render([Card(key="cat", phase=phase, prompt="cat dance", reason="the reason why")], title="clips")
    assert "data-src" not in page.split("<body>")[1]
    assert '<p class="notice">' in page
    assert "the reason why" in page
    assert f'data-phase="{phase}"' in page
    assert f'name="phase" value="{phase}"' in page


def test_missing_file_name():
    """The card names the missing file, not its encoded URL."""
    page = render([attrs.evolve(PLAIN, clip=Clip(address="two%20cats.mp4", missing=True))], title="clips")
    assert "There is no two cats.mp4" in page
    assert "data-src" not in page.split("<body>")[1]
    assert "Open the file" not in page


def test_empty_gallery():
    """A page without cards says so, and has only the filter for all states."""
    page = render([], title="clips")
    assert '<p class="empty" >The journal has no generations yet.</p>' in page
    assert page.count('name="phase"') == 1
    assert "0 generations" in page


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0.0 s"),
        (7.44, "7.4 s"),
        (9.94, "9.9 s"),
        (9.96, "10 s"),
        (64, "64 s"),
        (99.4, "99 s"),
        (99.6, "1 min 40 s"),
        (120, "2 min"),
        (125, "2 min 5 s"),
        (3599.6, "1 h"),
        (11_520, "3 h 12 min"),
        (7200, "2 h"),
    ],
)
def test_duration(seconds, text):
    """A duration is rounded to two units at most."""
    assert duration(seconds) == text


ENTRY = Entry(
    key="cat/1",
    phase=Phase.COMPLETED,
    service="RixAPI https://relay.example",
    digest="d",
    request={"class": "VideoRequest", "prompt": "cat dance", "aspect_ratio": "16:9", "model": "ray-2"},
    sent_at=AT,
    updated_at=AT + timedelta(seconds=64),
    generation_id="g-1",
)


def test_card_of_entry():
    """A card contains the prompt, the details, the time and the duration of the entry."""
    clip = Clip(address="cat.mp4")
    assert card_of(ENTRY, clip) == Card(
        key="cat/1",
        phase=Phase.COMPLETED,
        prompt="cat dance",
        details=("16:9", "ray-2"),
        generation_id="g-1",
        clip=clip,
        sent_at=AT,
        took_s=64,
    )


@pytest.mark.parametrize(
    ("changes", "took_s"),
    [
        ({"phase": Phase.FAILED}, 64),
        ({"phase": Phase.ACCEPTED}, None),
        ({"phase": Phase.IN_DOUBT}, None),
        ({"sent_at": None}, None),
        ({"updated_at": None}, None),
        # The clock was set back.
        ({"updated_at": AT - timedelta(hours=1)}, 0),
    ],
)
def test_duration_of_entry(changes, took_s):
    """Completed and failed generations have a duration, from the submit to the last change."""
    assert card_of(attrs.evolve(ENTRY, **changes)).took_s == took_s


@pytest.mark.parametrize(
    ("changes", "field", "value"),
    [
        ({"request": {"class": "UpscaleRequest", "source": "g-0"}}, "kind", "upscale"),
        ({"request": {"class": "UpscaleRequest", "source": "g-0"}}, "prompt", ""),
        ({"request": {"class": "UnknownRequest"}}, "kind", "video"),
        ({"request": {}}, "details", ()),
        ({"request": {}, "generation": Generation(id="g", state=State.COMPLETED, prompt="a dog")}, "prompt", "a dog"),
        ({"generation": Generation(id="g", state=State.FAILED, failure_reason="moderated")}, "reason", "moderated"),
        ({"reason": "refused"}, "reason", "refused"),
        ({"generation_id": None}, "generation_id", ""),
    ],
)
def test_card_of_incomplete_entry(changes, field, value):
    """Missing fields of the request are left out, or taken from the generation."""
    assert getattr(card_of(attrs.evolve(ENTRY, **changes)), field) == value


COLOURS = dict(re.findall(r"--(\w+): light-dark\((#[0-9a-f]{6}, #[0-9a-f]{6})\)", asset("page.css")))


def _rgb(name, theme):
    colour = COLOURS[name].split(", ")[theme]
    return [int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5)]


def _contrast(*colours):
    linear = [
        [value / 12.92 if value <= 0.03928 else ((value + 0.055) / 1.055) ** 2.4 for value in colour]
        for colour in colours
    ]
    dark, light = sorted(0.2126 * red + 0.7152 * green + 0.0722 * blue for red, green, blue in linear)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
@pytest.mark.parametrize("ground", ["page", "card", "sunk"])
@pytest.mark.parametrize("ink", ["text", "soft", "accent", "good", "running", "bad", "doubt", "quiet"])
def test_contrast_of_text(ink, ground, theme):
    """Each text colour has a contrast of at least 4.5 to 1 on each background, in both themes (WCAG AA)."""
    assert _contrast(_rgb(ink, theme), _rgb(ground, theme)) >= 4.5


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
@pytest.mark.parametrize("tone", ["good", "running", "bad", "doubt", "quiet"])
@pytest.mark.parametrize(
    ("ink", "ground", "percent"), [("tone", "card", 8), ("soft", "sunk", 11), ("text", "sunk", 11)]
)
def test_contrast_on_tint(ink, ground, percent, tone, theme):
    """Reasons and notices have a contrast of at least 4.5 to 1 on their tinted background."""
    assert f"color-mix(in srgb, var(--tone) {percent}%, var(--{ground}))" in asset("page.css")
    share = percent / 100
    mixed = [a * share + b * (1 - share) for a, b in zip(_rgb(tone, theme), _rgb(ground, theme), strict=True)]
    assert _contrast(_rgb(tone if ink == "tone" else ink, theme), mixed) >= 4.5
