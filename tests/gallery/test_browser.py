"""The gallery in a real browser: playing, filtering, the keyboard, and untrusted prompts."""

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
    """Return an entry for each prompt, a minute apart, all with the same small clip."""
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
    """An open page with one failure and five clips."""
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


async def test_page_loads(gallery):
    """The page loads without an error or a warning, and a visible clip shows its first frame."""
    await gallery.until(f"{VIDEO}?.readyState >= 2")
    assert await gallery.run(SHOWN) == NEWEST
    assert await gallery.run(COUNT) == "6 generations"
    assert await gallery.run(PLAYING) == 0
    assert gallery.problems == []


async def test_play_on_hover(gallery):
    """A clip under the mouse plays without sound, and only one clip plays at a time."""
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


async def test_click_pauses_and_plays(gallery):
    """A click on the clip pauses it, and another click plays it."""
    await gallery.point(".play")
    await gallery.until(f"{VIDEO}.currentTime > 0")
    await gallery.click(".play")
    await gallery.until(f"{VIDEO}.paused")
    await gallery.click(".play")
    await gallery.until(f"!{VIDEO}.paused")


async def test_keyboard(gallery):
    """The arrow keys move between cards, space plays, c copies, / filters, and Escape returns."""
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


async def test_tab_order(gallery):
    """One card is in the tab order, and shortcuts of the browser are not handled."""
    assert await gallery.run("document.querySelectorAll('.card[tabindex=\"0\"]').length") == 1
    await gallery.press("ArrowRight")
    await gallery.press("ArrowRight", modifiers=2)
    assert await gallery.run(FOCUS) == NEWEST[0]
    await gallery.press("End")
    assert await gallery.run(
        "[...document.querySelectorAll('.card[tabindex=\"0\"]')].at(-1).contains(document.activeElement)"
    )
    assert await gallery.run("document.querySelectorAll('.card[tabindex=\"0\"]').length") == 1


async def test_filter(gallery):
    """The filter finds words in any order and case, and the number of matches is shown."""
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


async def test_states_and_sorting(gallery):
    """Cards are filtered by state, and sorted by age, by prompt or by duration."""
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
    """Copy the prompt of the focused card. The mark that confirms it disappears soon, so it is observed."""
    await page.run(
        "new MutationObserver(() => { if (document.querySelector('.copied')) window.has_copied = true; })"
        ".observe(document.body, {subtree: true, attributes: true})"
    )
    await page.press("c")
    await page.until("window.has_copied")


async def test_prompt_is_text(page, tmp_path):
    """Markup in a prompt is shown and copied, and not run."""
    await page.open(write_gallery(tmp_path, entries(tmp_path, [HACK, "a cat"])).as_uri())
    assert await page.run(SHOWN) == ["a cat", HACK]
    assert await page.run("window.hacked") is None
    await page.press("ArrowRight")
    await page.press("End")
    await copy(page)
    assert await page.run("navigator.clipboard.readText()") == HACK
    assert page.problems == []


async def test_policy_blocks_scripts(gallery):
    """The browser blocks every other script, event handler and image of the network."""
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
async def test_file_removed_later(page, tmp_path, name):
    """A file that was removed after the page was written is shown as missing."""
    (tmp_path / name).write_bytes(file_bytes())
    rows = [attrs.evolve(row, path=str(tmp_path / name)) for row in entries(tmp_path, ["a cat"])]
    path = write_gallery(tmp_path, rows)
    (tmp_path / name).unlink()
    await page.open(path.as_uri())
    await page.until("!document.querySelector('.gone').hidden")
    assert await page.run("document.querySelector('.gone').checkVisibility()")
    assert (
        await page.run("[...document.querySelectorAll('.play, .open')].some((part) => part.checkVisibility())") is False
    )
    await page.press("ArrowRight")
    await page.press(" ")
    assert await page.run(FOCUS) == "a cat"
    assert await page.run(VIDEO) is None
    assert all("ERR_FILE_NOT_FOUND" in problem for problem in page.problems)


async def test_thousand_cards(page, tmp_path):
    """Of a thousand cards only those near the viewport have a player, and the filter finds all of them."""
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
async def test_theme(gallery, system, other):
    """The theme follows the system until it is changed with the button; the change lasts after reloading."""
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


async def test_reduced_motion(gallery):
    """With reduced motion, neither the mouse nor the focus plays a clip; the space key does."""
    await gallery.prefer(prefers_reduced_motion="reduce")
    await gallery.point(".card")
    await gallery.press("ArrowRight")
    await gallery.until(f"{VIDEO}?.readyState >= 2")
    assert await gallery.run(PLAYING) == 0
    await gallery.press(" ")
    await gallery.until(f"{VIDEO}.currentTime > 0")


async def test_touch_screen(page, tmp_path):
    """On a touch screen the visible clip plays, and the previous clip stops."""
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


async def test_without_scripts(page, tmp_path):
    """Without scripts the page shows the cards and links to the clips, and hides the controls."""
    await page.call("Emulation.setScriptExecutionDisabled", value=True)
    await page.open(write_gallery(tmp_path, entries(tmp_path, ["a cat"])).as_uri())
    assert await page.run(SHOWN) == ["a cat"]
    assert await page.run("document.querySelector('.open').href") == (tmp_path / "clip.mp4").as_uri()
    controls = "[...document.querySelectorAll('.play, .copy, .tools, .phases')]"
    assert await page.run(f"{controls}.some((part) => part.checkVisibility({{ visibilityProperty: true }}))") is False


async def test_long_prompt(page, tmp_path):
    """A long prompt is folded to three lines, and a click shows all of it."""
    await page.open(write_gallery(tmp_path, entries(tmp_path, [LONG])).as_uri())
    height = "document.querySelector('.prompt').getBoundingClientRect().height"
    folded = await page.run(height)
    assert folded < 100
    await page.click("summary")
    assert await page.run(height) > 3 * folded
    assert await page.run("document.querySelector('.prompt').textContent") == LONG


async def test_narrow_screen(page, tmp_path):
    """Long words and lines are wrapped, so that the page does not scroll sideways."""
    size = {"width": 360, "height": 740, "deviceScaleFactor": 1, "mobile": False}
    await page.call("Emulation.setDeviceMetricsOverride", **size)
    rows = entries(tmp_path, ["a" * 5000, LONG, "\u202e" + LONG]) + entries(tmp_path, [LONG], phase=Phase.FAILED)
    await page.open(write_gallery(tmp_path, rows).as_uri())
    assert await page.run("document.documentElement.scrollWidth") <= 360
    assert await page.run(
        "[...document.querySelectorAll('.prompt')].every((text) => text.scrollWidth <= text.clientWidth)"
    )
