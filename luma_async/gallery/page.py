"""Renders the page: cards in, HTML out.

Everything dynamic is escaped text or a quoted attribute. The script and the style are constants, and the page's
Content-Security-Policy allows them by their hashes. Whatever a prompt contains, no other script can run, and nothing
can be loaded but the files next to the page.
"""

from __future__ import annotations

import base64
import functools
import hashlib
from collections import Counter
from datetime import UTC
from html import escape
from importlib import resources
from string import Template
from typing import TYPE_CHECKING
from urllib.parse import unquote

import attrs

from luma_async.values.entries import Phase

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from luma_async.gallery.cards import Card

SIGNATURE = '<meta name="generator" content="luma_async gallery">'
"""Marks a file as a gallery."""

_LONG_CHARS, _LONG_LINES = 150, 3
"""A longer prompt is folded: this is about three lines of a card."""


@attrs.frozen
class _Style:
    tone: str
    icon: str
    title: str
    hint: str


_STYLES = {
    Phase.SENDING: _Style("running", "clock", "Submitting", "No response was recorded yet."),
    Phase.NOT_SENT: _Style("quiet", "slash", "Not sent", "Nothing was sent or charged."),
    Phase.REFUSED: _Style("bad", "cross", "Refused", "Nothing was charged."),
    Phase.IN_DOUBT: _Style("doubt", "question", "In doubt", "It may have been charged."),
    Phase.ABANDONED: _Style("quiet", "slash", "Abandoned", "This doubt was closed by hand."),
    Phase.ACCEPTED: _Style("running", "clock", "Running", "It is paid; luma-async resume downloads it."),
    Phase.COMPLETED: _Style("good", "fetch", "Not downloaded", "It is paid and completed."),
    Phase.FAILED: _Style("bad", "cross", "Failed", "The service could not make it."),
    Phase.LOST: _Style("bad", "question", "Lost", "The service no longer knows its id."),
}


def render(cards: Iterable[Card], *, title: str) -> str:
    """Return the HTML of a page with these cards; the same cards give the same HTML.

    Args:
        cards: the cards, newest first.
        title: the title of the page.
    """
    shown = tuple(cards)
    style, script = asset("page.css"), asset("page.js")
    return Template(asset("page.html")).substitute(
        policy=policy(style=style, script=script),
        signature=SIGNATURE,
        title=escape(title),
        style=style,
        script=script,
        count=len(shown),
        noun="generation" if len(shown) == 1 else "generations",
        phases=_phases(shown),
        cards="\n".join(_card(card, place) for place, card in enumerate(shown)),
        empty="hidden" if shown else "",
    )


@functools.cache
def asset(name: str) -> str:
    """Return the text of a file of this package."""
    return (resources.files("luma_async.gallery") / name).read_text("utf-8")


def policy(*, style: str, script: str) -> str:
    """Return a Content-Security-Policy that allows only this style and this script."""
    # Both 'self' and `file:`: browsers differ in whether 'self' matches a page that is opened from disk.
    return "; ".join(
        (
            "default-src 'none'",
            f"script-src '{_hash(script)}'",
            f"style-src '{_hash(style)}'",
            "img-src 'self' file:",
            "media-src 'self' file:",
            "base-uri 'none'",
            "form-action 'none'",
            "require-trusted-types-for 'script'",
        )
    )


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _phases(cards: Sequence[Card]) -> str:
    """Return the filters for the phases that occur, in the order of the life cycle."""
    counts = Counter(card.phase for card in cards)
    found = [_chip(phase, f"{_dot(phase)}<b>{counts[phase]}</b>") for phase in Phase if counts[phase]]
    return "\n".join([_chip("", f"All<b>{len(cards)}</b>", " checked"), *found])


def _chip(value: str, label: str, checked: str = "") -> str:
    choice = f'<input type="radio" name="phase" value="{value}" autocomplete="off"{checked}>'
    return f'<label class="chip">{choice}<span>{label}</span></label>'


def _dot(phase: Phase) -> str:
    return f'<i class="dot {_STYLES[phase].tone}"></i>{phase.replace("_", " ").capitalize()}'


def _card(card: Card, place: int) -> str:
    seconds = "" if card.took_s is None else f"{card.took_s:g}"
    find = escape(" ".join(filter(None, (card.kind, card.key, card.generation_id, *card.details))))
    return (
        f'<li><article class="card" tabindex="-1" aria-labelledby="prompt-{place}" data-phase="{card.phase}"'
        f' data-seconds="{seconds}" data-find="{find}">\n'
        f"{_stage(card)}\n"
        f'<div class="text">{_prompt(card, place)}{_reason(card)}\n{_facts(card)}</div>\n'
        "</article></li>"
    )


def _stage(card: Card) -> str:
    """Return the clip, or a notice why there is none."""
    clip, style = card.clip, _STYLES[card.phase]
    if clip is None:
        return f'<div class="stage bare {style.tone}">{_notice(style.icon, style.title, style.hint)}</div>'
    gone = _notice("film", "File missing", f"There is no {escape(unquote(clip.address))}")
    if clip.missing:
        return f'<div class="stage bare quiet">{gone}</div>'
    address, after = escape(clip.address), f'<div class="gone" hidden>{gone}</div></div>'
    if clip.kind == "picture":
        return f'<div class="stage"><img src="{address}" alt="" loading="lazy" decoding="async">{after}'
    poster = f' data-poster="{escape(clip.poster)}"' if clip.poster else ""
    return (
        f'<div class="stage" data-src="{address}"{poster}>'
        f'<button class="play" type="button" aria-label="Play">{_icon("play")}{_icon("pause")}</button>{after}'
    )


def _notice(icon: str, title: str, hint: str) -> str:
    return f'{_icon(icon)}<p class="notice">{title}<small>{hint}</small></p>'


def _prompt(card: Card, place: int) -> str:
    if not card.prompt:
        return f'<p class="prompt none" id="prompt-{place}">No prompt ({escape(card.kind)})</p>'
    text = f'<span class="prompt" id="prompt-{place}" dir="auto">{escape(card.prompt)}</span>'
    if len(card.prompt) > _LONG_CHARS or card.prompt.count("\n") >= _LONG_LINES:
        return f'<details class="long"><summary>{text}</summary></details>'
    return f"<div>{text}</div>"


def _reason(card: Card) -> str:
    if not card.reason:
        return ""
    return f'<p class="reason {_STYLES[card.phase].tone}" dir="auto">{escape(card.reason)}</p>'


def _facts(card: Card) -> str:
    took = (
        ""
        if card.took_s is None
        else f'<span title="From the submit to the last change">{duration(card.took_s)}</span>'
    )
    kind = () if card.kind == "video" else (card.kind,)
    more = " · ".join(escape(word) for word in (*kind, *card.details))
    return (
        f'<div class="foot"><div class="facts"><p class="lead"><span class="phase">{_dot(card.phase)}</span>{took}</p>'
        f'<p title="{escape(card.key)}">{more}</p><p>{_time(card.sent_at)}</p></div>{_actions(card)}</div>'
    )


def _time(at: datetime | None) -> str:
    if at is None:
        return ""
    at = at.astimezone(UTC)
    return f'<time datetime="{at:%Y-%m-%dT%H:%M:%SZ}">{at:%Y-%m-%d %H:%M} UTC</time>'


def _actions(card: Card) -> str:
    buttons = ""
    if card.prompt:
        buttons += (
            '<button class="copy" type="button" aria-label="Copy the prompt" title="Copy the prompt (c)">'
            f"{_icon('copy')}{_icon('done')}</button>"
        )
    if card.clip is not None and not card.clip.missing:
        buttons += (
            f'<a class="open" href="{escape(card.clip.address)}" target="_blank" rel="noopener"'
            f' aria-label="Open the file" title="Open the file">{_icon("open")}</a>'
        )
    return f'<div class="actions">{buttons}</div>'


def _icon(name: str) -> str:
    return f'<svg class="icon i-{name}" aria-hidden="true"><use href="#{name}"/></svg>'


def duration(seconds: float) -> str:
    """Format a duration: `7.4 s`, `64 s`, `2 min 5 s`, `3 h 12 min`."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    minutes, rest = divmod(whole, 60)
    if whole < 100:
        return f"{whole} s"
    if minutes < 60:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if minutes else f"{hours} h"
