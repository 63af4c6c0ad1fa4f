"""The gallery's page: whatever a prompt holds stays text, and only our own script and style can run."""

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
NASTY = {
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
    """What a browser would find in a page."""

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
    """Which elements with which names of attributes a page has."""
    return [(tag, sorted(found)) for tag, found in Parsed(page).tags]


@pytest.mark.parametrize("text", NASTY.values(), ids=NASTY)
def test_whatever_a_prompt_holds_is_text(text):
    """The prompt is read back as it was, in the page's only script-free places, and adds no element."""
    page = render([attrs.evolve(PLAIN, prompt=text)], title="clips")
    parsed = Parsed(page)
    assert parsed.texts["prompt-0"] == text
    assert len(parsed.all("script")) == len(parsed.all("style")) == 1
    assert parsed.texts["script"] == asset("page.js")


@pytest.mark.parametrize("text", NASTY.values(), ids=NASTY)
def test_every_other_text_is_escaped_too(text):
    """A key, a reason, an id, a detail, a kind, an address or a title with markup changes nothing but text."""
    told = {"key": "k", "reason": "r", "generation_id": "i", "details": ("d",), "kind": "w"}
    for missing in (False, True):
        clip = Clip(address="a", poster="p", missing=missing)
        tame = render([attrs.evolve(PLAIN, clip=clip, **told)], title="t")
        nasty = {name: (text,) if name == "details" else text for name in told}
        wild = render(
            [attrs.evolve(PLAIN, clip=attrs.evolve(clip, address=text, poster=text), **nasty)],
            title=text,
        )
        assert shape(wild) == shape(tame)
        assert Parsed(wild).texts["h1"] == Parsed(wild).texts["title"] == text


@given(st.text(st.characters(exclude_characters="\r\0", exclude_categories=["Cs"]), min_size=1))
def test_any_text_survives(text):
    """For every text that HTML can hold, what is shown is what was asked for."""
    assert Parsed(render([attrs.evolve(PLAIN, prompt=text)], title="clips")).texts["prompt-0"] == text


def test_the_policy_names_the_script_and_the_style_that_are_there():
    """The hashes are those of what stands between the tags, byte for byte; nothing else may run or load."""
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


def test_the_policy_stands_before_what_it_governs():
    """A policy in a meta tag holds only for what follows it."""
    page = render([PLAIN], title="clips")
    assert page.index("Content-Security-Policy") < page.index("<style>") < page.index("<script>")


def test_nothing_is_inline_and_nothing_is_fetched_from_afar():
    """No element has a handler or a style of its own, and no address leads to a network."""
    page = render([attrs.evolve(PLAIN, clip=Clip(address="cat.mp4", poster="cat.jpg"))], title="clips")
    names = {name for _, found in Parsed(page).tags for name in found}
    assert not [name for name in names if name.startswith("on") or name == "style"]
    assert not re.search(r"https?://|//[a-z]", page.replace("// ", ""))


def test_the_assets_cannot_end_their_own_elements():
    """The script and the style hold no closing tag, and no sink that would turn text into markup."""
    assert "</" not in asset("page.js")
    assert "</" not in asset("page.css")
    assert not re.search(r"innerHTML|insertAdjacentHTML|document\.write|eval\(|new Function", asset("page.js"))


def test_the_same_cards_make_the_same_page():
    """Nothing but the cards and the title is in the page: no clock, no chance, no zone of this machine."""
    here = attrs.evolve(PLAIN, sent_at=AT.astimezone(timezone(timedelta(hours=9))))
    assert render([PLAIN], title="clips") == render(iter([here]), title="clips")


def test_names_are_unique_and_every_reference_leads_somewhere():
    """Each id stands once; icons and labels refer to ids that exist."""
    cards = [attrs.evolve(PLAIN, phase=phase, clip=None, reason="so") for phase in Phase]
    clips = [Clip(address="a.mp4"), Clip(address="a.png", kind="picture"), Clip(address="b.mp4", missing=True)]
    page = Parsed(render([*cards, *(attrs.evolve(PLAIN, clip=clip) for clip in clips)], title="clips"))
    ids = [found["id"] for _, found in page.tags if "id" in found]
    assert len(ids) == len(set(ids))
    assert {found["href"] for found in page.all("use")} <= {f"#{name}" for name in ids}
    assert {found["aria-labelledby"] for found in page.all("article")} <= set(ids)


def test_everything_to_press_has_a_name():
    """Buttons and links without words have a label, fields have one, and pictures say that they add nothing."""
    cards = [PLAIN, attrs.evolve(PLAIN, clip=Clip(address="a.png", kind="picture"))]
    page = Parsed(render(cards, title="clips"))
    assert all(found.get("aria-label") for found in [*page.all("button"), *page.all("a")])
    assert all("alt" in found for found in page.all("img"))
    assert all(found.get("aria-hidden") == "true" for found in page.all("svg"))


def test_a_clip_costs_nothing_until_it_is_near():
    """The page holds addresses, not players: a thousand of those, or of posters, would be loaded at once."""
    page = Parsed(render([attrs.evolve(PLAIN, clip=Clip(address="cat.mp4", poster="cat.jpg"))], title="clips"))
    (stage,) = [found for found in page.all("div") if "data-src" in found]
    assert (stage["data-src"], stage["data-poster"]) == ("cat.mp4", "cat.jpg")
    assert page.all("video") == page.all("img") == []
    (link,) = page.all("a")
    assert link["href"] == "cat.mp4"


@pytest.mark.parametrize("phase", Phase)
def test_a_card_without_a_clip_says_why(phase):
    """Every phase has words of its own, and its reason is shown."""
    page = render([Card(key="cat", phase=phase, prompt="cat dance", reason="the reason why")], title="clips")
    assert "data-src" not in page.split("<body>")[1]
    assert '<p class="notice">' in page
    assert "the reason why" in page
    assert f'data-phase="{phase}"' in page
    assert f'name="phase" value="{phase}"' in page


def test_a_missing_file_is_named_as_people_write_it():
    """The card says which file is not there, not how its address is encoded."""
    page = render([attrs.evolve(PLAIN, clip=Clip(address="two%20cats.mp4", missing=True))], title="clips")
    assert "It is not at two cats.mp4" in page
    assert "data-src" not in page.split("<body>")[1]
    assert "Open the file" not in page


def test_an_empty_gallery_says_so():
    """Without cards there is a sentence instead, and only the choice of all states."""
    page = render([], title="clips")
    assert '<p class="empty" >Nothing here yet.</p>' in page
    assert page.count('name="phase"') == 1
    assert "0 generations" in page


@pytest.mark.parametrize(
    ("seconds", "words"),
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
def test_durations_read_as_people_say_them(seconds, words):
    """Few digits, and no unit that says nothing."""
    assert duration(seconds) == words


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


def test_a_card_holds_what_the_journal_knows():
    """Prompt, details, age and duration come from the entry."""
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
        # A clock that was set back makes nothing negative.
        ({"updated_at": AT - timedelta(hours=1)}, 0),
    ],
)
def test_only_what_has_ended_took_time(changes, took_s):
    """Seconds are shown of completed and failed generations, from the submit to the last change."""
    assert card_of(attrs.evolve(ENTRY, **changes)).took_s == took_s


@pytest.mark.parametrize(
    ("changes", "field", "value"),
    [
        ({"request": {"class": "UpscaleRequest", "source": "g-0"}}, "kind", "upscale"),
        ({"request": {"class": "UpscaleRequest", "source": "g-0"}}, "prompt", ""),
        ({"request": {"class": "ClassOfTomorrow"}}, "kind", "video"),
        ({"request": {}}, "details", ()),
        ({"request": {}, "generation": Generation(id="g", state=State.COMPLETED, prompt="told")}, "prompt", "told"),
        ({"generation": Generation(id="g", state=State.FAILED, failure_reason="moderated")}, "reason", "moderated"),
        ({"reason": "refused"}, "reason", "refused"),
        ({"generation_id": None}, "generation_id", ""),
    ],
)
def test_a_card_makes_do_with_less(changes, field, value):
    """What the request does not name is left out, and the service's own words fill in."""
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
def test_every_text_can_be_read(ink, ground, theme):
    """Each colour of text has a contrast of 4.5 to 1 or more on each ground, in both themes (WCAG AA)."""
    assert _contrast(_rgb(ink, theme), _rgb(ground, theme)) >= 4.5


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
@pytest.mark.parametrize("tone", ["good", "running", "bad", "doubt", "quiet"])
@pytest.mark.parametrize(
    ("ink", "ground", "percent"), [("tone", "card", 8), ("soft", "sunk", 11), ("text", "sunk", 11)]
)
def test_text_on_a_tint_can_be_read_too(ink, ground, percent, tone, theme):
    """Reasons and notices stand on a ground that takes a share of their tone; 4.5 to 1 holds there as well."""
    assert f"color-mix(in srgb, var(--tone) {percent}%, var(--{ground}))" in asset("page.css")
    share = percent / 100
    mixed = [a * share + b * (1 - share) for a, b in zip(_rgb(tone, theme), _rgb(ground, theme), strict=True)]
    assert _contrast(_rgb(tone if ink == "tone" else ink, theme), mixed) >= 4.5
