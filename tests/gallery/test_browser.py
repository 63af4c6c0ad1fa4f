"""The gallery in a real browser, opened from disk: it plays, finds, obeys the keyboard, and trusts no prompt."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import attrs
import chromium
import pytest

from luma_async import Entry, Phase
from luma_async.gallery import write_gallery
from luma_async.testing import file_bytes

pytestmark = pytest.mark.skipif(chromium.installed() is None, reason="no Chromium is installed")

AT = datetime(2025, 11, 24, 21, 0, tzinfo=UTC)
HACK = "<script>window.hacked = true</script><img src=x onerror='window.hacked = true'>"
LONG = "a very long prompt, " * 40


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    """A running browser."""
    with chromium.running(tmp_path_factory.mktemp("profile")) as address:
        yield address


@pytest.fixture
async def page(address):
    """A new tab."""
    async with chromium.new_page(address) as page:
        yield page


def entries(folder, prompts, *, phase=Phase.COMPLETED):
    """One completed entry a prompt, a minute apart, all of them playing the same small clip."""
    clip = folder / "clip.mp4"
    clip.write_bytes(file_bytes())
    return [
        Entry(
            key=f"look/{number}",
            phase=phase,
            service="RixAPI https://relay.example",
            digest="d",
            request={"class": "VideoRequest", "prompt": prompt},
            sent_at=AT + timedelta(minutes=number),
            updated_at=AT + timedelta(minutes=number, seconds=(number * 7) % 50),
            path=str(clip) if phase is Phase.COMPLETED else None,
        )
        for number, prompt in enumerate(prompts)
    ]


@pytest.fixture
async def gallery(page, tmp_path):
    """A page of one failure and five clips, open."""
    rows = entries(tmp_path, ["a failed cat"], phase=Phase.FAILED)
    rows += entries(tmp_path, ["cat 10", "Cat 9", "a dog", "a cat and a dog", "bird"])
    await page.open(write_gallery(tmp_path, rows).as_uri())
    return page


NEWEST = ["bird", "a cat and a dog", "a dog", "Cat 9", "cat 10", "a failed cat"]
SHOWN = "[...document.querySelectorAll('.cards .prompt')].map((text) => text.textContent)"
FOCUS = "document.activeElement.id || document.activeElement.querySelector('.prompt').textContent"
COUNT = "document.getElementById('count').textContent"
VIDEO = "document.querySelector('video')"
PLAYING = "[...document.querySelectorAll('video')].filter((video) => !video.paused).length"
RING = "getComputedStyle(document.activeElement).outlineStyle"


async def test_it_loads_from_disk_without_a_complaint(gallery):
    """No error, no warning, nothing that its policy refused; a clip in sight shows its first frame, and is still."""
    await gallery.until(f"{VIDEO}?.readyState >= 2")
    assert await gallery.run(SHOWN) == NEWEST
    assert await gallery.run(COUNT) == "6 generations"
    assert await gallery.run(PLAYING) == 0
    assert gallery.problems == []


async def test_a_clip_plays_under_the_mouse_and_stops_when_it_leaves(gallery):
    """Its time really grows, without sound; one clip plays at a time."""
    await gallery.point(".card")
    await gallery.until(f"{VIDEO}.currentTime > 0.2")
    assert await gallery.run(f"{VIDEO}.muted && {VIDEO}.loop")
    assert await gallery.run("document.querySelector('.play').getAttribute('aria-label')") == "Pause"
    await gallery.point("li:nth-child(2) .card")
    await gallery.until("document.querySelectorAll('video')[1].currentTime > 0")
    assert await gallery.run(f"{VIDEO}.paused")
    await gallery.press("ArrowRight")
    await gallery.until(f"!{VIDEO}.paused")
    assert await gallery.run(PLAYING) == 1
    await gallery.point("h1")
    await gallery.press("/")
    await gallery.until(f"{PLAYING} === 0")
    assert gallery.problems == []


async def test_a_click_on_the_clip_pauses_and_plays(gallery):
    """The whole picture is the button."""
    await gallery.point(".play")
    await gallery.until(f"{VIDEO}.currentTime > 0")
    await gallery.click(".play")
    await gallery.until(f"{VIDEO}.paused")
    await gallery.click(".play")
    await gallery.until(f"!{VIDEO}.paused")


async def test_the_keyboard_moves_plays_and_copies(gallery):
    """Arrows go from card to card and along columns, space plays, c copies, / finds, Escape comes back."""
    await gallery.press("ArrowRight")
    assert await gallery.run(FOCUS) == NEWEST[0]
    assert await gallery.run(RING) == "solid"
    await gallery.until(f"{VIDEO}.currentTime > 0")
    await gallery.press(" ")
    await gallery.until(f"{VIDEO}.paused")
    await gallery.press(" ")
    await gallery.until(f"!{VIDEO}.paused")
    await gallery.press("ArrowRight")
    assert await gallery.run(FOCUS) == NEWEST[1]
    await gallery.until(f"{VIDEO}.paused")
    columns = await gallery.run(
        "getComputedStyle(document.querySelector('.cards')).gridTemplateColumns.split(' ').length"
    )
    assert 1 < columns < 5
    await gallery.press("ArrowDown")
    assert await gallery.run(FOCUS) == NEWEST[1 + columns]
    await gallery.press("ArrowUp")
    await gallery.press("ArrowLeft")
    await gallery.press("ArrowLeft")
    assert await gallery.run(FOCUS) == NEWEST[0]
    await gallery.press("End")
    assert await gallery.run(FOCUS) == NEWEST[-1]
    await copy(gallery)
    assert await gallery.run("navigator.clipboard.readText()") == NEWEST[-1]
    await gallery.press("/")
    assert await gallery.run(FOCUS) == "filter"
    await gallery.type("c/")
    await gallery.until("!document.getElementById('none').hidden")
    await gallery.press("Escape")
    assert await gallery.run(SHOWN) == NEWEST
    assert await gallery.run(FOCUS) == "filter"
    await gallery.press("Escape")
    assert await gallery.run(FOCUS) == NEWEST[0]
    assert gallery.problems == []


async def test_one_card_is_in_the_tab_order(gallery):
    """Tab reaches the cards once, not once for each; shortcuts of the browser are left alone."""
    assert await gallery.run("document.querySelectorAll('.card[tabindex=\"0\"]').length") == 1
    await gallery.press("ArrowRight")
    await gallery.press("ArrowRight", modifiers=2)
    assert await gallery.run(FOCUS) == NEWEST[0]
    await gallery.press("End")
    assert await gallery.run(
        "[...document.querySelectorAll('.card[tabindex=\"0\"]')].at(-1).contains(document.activeElement)"
    )
    assert await gallery.run("document.querySelectorAll('.card[tabindex=\"0\"]').length") == 1


async def test_the_filter_finds_words_in_any_order_and_case(gallery):
    """What is typed is looked for in prompts, reasons and keys; the count says how many are left."""
    await gallery.press("/")
    await gallery.type("DOG  cat")
    await gallery.until(f"{COUNT} === '1 of 6 generations'")
    assert await gallery.run(SHOWN) == ["a cat and a dog"]
    assert await gallery.run("document.querySelector('.card[tabindex=\"0\"] .prompt').textContent") == "a cat and a dog"
    await gallery.type(" nowhere")
    await gallery.until("!document.getElementById('none').hidden")
    assert await gallery.run(SHOWN) == []
    await gallery.press("ArrowDown")
    assert await gallery.run(FOCUS) == "filter"


async def test_states_and_orders_are_chosen(gallery):
    """A state narrows, an order sorts: by age, by prompt as people count, by seconds with the longest first."""
    await gallery.click(".chip:last-child")
    assert await gallery.run(SHOWN) == ["a failed cat"]
    await gallery.click(".chip")
    for order, shown in {
        "oldest": NEWEST[::-1],
        "prompt": ["a cat and a dog", "a dog", "a failed cat", "bird", "Cat 9", "cat 10"],
        "seconds": ["bird", "a cat and a dog", "a dog", "Cat 9", "cat 10", "a failed cat"],
        "newest": NEWEST,
    }.items():
        await gallery.run(f"sort.value = '{order}', document.getElementById('sort').dispatchEvent(new Event('change'))")
        assert await gallery.run(SHOWN) == shown


async def copy(page):
    """Copy the prompt of the card in focus; the mark that says so may be gone before anybody looks."""
    await page.run(
        "new MutationObserver(() => { if (document.querySelector('.copied')) window.has_copied = true; })"
        ".observe(document.body, {subtree: true, attributes: true})"
    )
    await page.press("c")
    await page.until("window.has_copied")


async def test_a_prompt_stays_text(page, tmp_path):
    """Markup in a prompt is shown, found, copied and never run."""
    await page.open(write_gallery(tmp_path, entries(tmp_path, [HACK, "a cat"])).as_uri())
    assert await page.run(SHOWN) == ["a cat", HACK]
    assert await page.run("window.hacked") is None
    await page.press("ArrowRight")
    await page.press("End")
    await copy(page)
    assert await page.run("navigator.clipboard.readText()") == HACK
    assert page.problems == []


async def test_the_policy_refuses_every_other_script(gallery):
    """Even if markup got into the page, the browser would not run it, and would not fetch anything."""
    await gallery.run(
        """(() => {
        window.refused = [];
        document.addEventListener("securitypolicyviolation", (event) => window.refused.push(event.effectiveDirective));
        const script = document.createElement("script");
        try { script.text = "window.hacked = true"; } catch { window.refused.push("sink"); }
        const image = document.createElement("img");
        image.src = "http://127.0.0.1:9/";
        document.body.append(image);
        const handler = document.createElement("b");
        try { handler.setAttribute("onclick", "window.hacked = true"); } catch { window.refused.push("sink"); }
        handler.click();
        })()"""
    )
    await gallery.until("window.refused.includes('img-src')")
    assert {"sink", "img-src"} <= set(await gallery.run("window.refused"))
    assert await gallery.run("window.hacked") is None


@pytest.mark.parametrize("name", ["clip.mp4", "clip.jpg"])
async def test_a_file_that_went_away_is_said_to_be_missing(page, tmp_path, name):
    """A file that was there when the page was written, and is not any more, leaves a card that says so."""
    (tmp_path / name).write_bytes(file_bytes())
    rows = [attrs.evolve(row, path=str(tmp_path / name)) for row in entries(tmp_path, ["a cat"])]
    path = write_gallery(tmp_path, rows)
    (tmp_path / name).unlink()
    await page.open(path.as_uri())
    await page.until("!document.querySelector('.gone').hidden")
    assert await page.run("document.querySelector('.gone').checkVisibility()")
    assert (
        await page.run("[...document.querySelectorAll('.play, .open')].some((dead) => dead.checkVisibility())") is False
    )
    await page.press("ArrowRight")
    await page.press(" ")
    assert await page.run(FOCUS) == "a cat"
    assert await page.run(VIDEO) is None
    assert all("ERR_FILE_NOT_FOUND" in problem for problem in page.problems)


async def test_a_thousand_cards_have_players_only_where_they_are_near(page, tmp_path):
    """All cards are there and can be found; far from the screen none holds a player, before and after scrolling by."""
    players = "document.querySelectorAll('video').length"
    rows = entries(tmp_path, [f"number {number}" for number in range(1000)])
    await page.open(write_gallery(tmp_path, rows).as_uri())
    await page.until(f"{VIDEO}?.readyState >= 2")
    assert await page.run("document.querySelectorAll('.card').length") == 1000
    assert 0 < await page.run(players) < 60
    await page.press("ArrowRight")
    await page.press("End")
    assert await page.run(FOCUS) == "number 0"
    await page.until("document.activeElement.querySelector('video')?.currentTime > 0")
    await page.until("!document.querySelector('li:first-child video')")
    assert 0 < await page.run(players) < 60
    await page.press("/")
    await page.type("number 777")
    await page.until(f"{COUNT} === '1 of 1000 generations'")
    assert await page.run(SHOWN) == ["number 777"]
    await page.until(f"{players} === 1")
    await page.press("Escape")
    await page.until(f"{players} > 1")
    assert page.problems == []


@pytest.mark.parametrize(("system", "other"), [("light", "dark"), ("dark", "light")])
async def test_the_theme_follows_the_system_until_it_is_chosen(gallery, system, other):
    """The button turns it, and the choice is still there after reloading."""
    ground = "getComputedStyle(document.body).backgroundColor"
    colours = {"light": "rgb(246, 246, 244)", "dark": "rgb(16, 16, 19)"}
    await gallery.prefer(prefers_color_scheme=system)
    assert await gallery.run(ground) == colours[system]
    await gallery.click("#theme-button")
    assert await gallery.run(ground) == colours[other]
    await gallery.open(await gallery.run("location.href"))
    assert await gallery.run(ground) == colours[other]
    pressed = "document.getElementById('theme-button').getAttribute('aria-pressed')"
    assert await gallery.run(pressed) == json.dumps(other == "dark")


async def test_who_wants_less_motion_gets_none_unasked(gallery):
    """Neither the mouse nor the focus plays a clip then; the space key still does."""
    await gallery.prefer(prefers_reduced_motion="reduce")
    await gallery.point(".card")
    await gallery.press("ArrowRight")
    await gallery.until(f"{VIDEO}?.readyState >= 2")
    assert await gallery.run(PLAYING) == 0
    await gallery.press(" ")
    await gallery.until(f"{VIDEO}.currentTime > 0")


async def test_where_nothing_can_hover_the_clip_in_sight_plays(page, tmp_path):
    """On a phone the clip that is scrolled to plays by itself, and the one before it stops."""
    touch = "window.matchMedia = (query) => query === '(hover: none)' ? { matches: true } : real.call(window, query);"
    await page.call("Page.addScriptToEvaluateOnNewDocument", source=f"const real = window.matchMedia; {touch}")
    size = {"width": 400, "height": 500, "deviceScaleFactor": 1, "mobile": False}
    await page.call("Emulation.setDeviceMetricsOverride", **size)
    await page.open(write_gallery(tmp_path, entries(tmp_path, [f"cat {number}" for number in range(9)])).as_uri())
    await page.run("document.querySelectorAll('.card')[3].scrollIntoView({ block: 'center' })")
    await page.until("document.querySelectorAll('.card')[3].querySelector('video')?.currentTime > 0")
    await page.run("document.querySelectorAll('.card')[6].scrollIntoView({ block: 'center' })")
    await page.until("document.querySelectorAll('.card')[6].querySelector('video')?.currentTime > 0")
    assert await page.run(PLAYING) == 1


async def test_without_scripts_the_clips_are_still_there(page, tmp_path):
    """The page is whole without its script: cards, prompts, and a link to each clip; nothing that would do nothing."""
    await page.call("Emulation.setScriptExecutionDisabled", value=True)
    await page.open(write_gallery(tmp_path, entries(tmp_path, ["a cat"])).as_uri())
    assert await page.run(SHOWN) == ["a cat"]
    assert await page.run("document.querySelector('.open').href") == (tmp_path / "clip.mp4").as_uri()
    dead = "[...document.querySelectorAll('.play, .copy, .tools, .phases')]"
    assert await page.run(f"{dead}.some((part) => part.checkVisibility({{ visibilityProperty: true }}))") is False


async def test_a_long_prompt_is_folded_and_opens(page, tmp_path):
    """Three lines are shown at first, all of it once it is asked for."""
    await page.open(write_gallery(tmp_path, entries(tmp_path, [LONG])).as_uri())
    height = "document.querySelector('.prompt').getBoundingClientRect().height"
    folded = await page.run(height)
    assert folded < 100
    await page.click("summary")
    assert await page.run(height) > 3 * folded
    assert await page.run("document.querySelector('.prompt').textContent") == LONG


async def test_nothing_is_wider_than_a_phone(page, tmp_path):
    """The longest word and the longest line break, so that nobody scrolls sideways."""
    size = {"width": 360, "height": 740, "deviceScaleFactor": 1, "mobile": False}
    await page.call("Emulation.setDeviceMetricsOverride", **size)
    rows = entries(tmp_path, ["a" * 5000, LONG, "\u202e" + LONG]) + entries(tmp_path, [LONG], phase=Phase.FAILED)
    await page.open(write_gallery(tmp_path, rows).as_uri())
    assert await page.run("document.documentElement.scrollWidth") <= 360
    assert await page.run(
        "[...document.querySelectorAll('.prompt')].every((text) => text.scrollWidth <= text.clientWidth)"
    )
