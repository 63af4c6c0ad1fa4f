"""The tables of answers in the documentation agree with those that the program uses.

`python tests/meta/test_money_page.py` writes them again.
"""

from __future__ import annotations

from pathlib import Path

from luma_async._submit.verdict import VERDICTS, Body, Outcome
from luma_async._wire.refusal import KNOWN_REFUSALS

PAGE = Path(__file__).parents[2] / "docs" / "explanation" / "money.md"


def table(head, rows):
    """Draw a table in Markdown."""
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *rows)) + "\n"


def verdicts():
    """Draw the table of verdicts."""
    rows = []
    for rule in VERDICTS:
        bodies = [str(body) for body in Body if body in rule.bodies]
        body = "anything" if len(bodies) == len(Body) else "; ".join(bodies)
        rows.append([rule.statuses, body, str(rule.outcome), "yes" if rule.repeat else "no", rule.source])
    return table(["status", "body", "result", "sent again", "reason"], rows)


def refusals():
    """Draw the list of known refusals."""
    rows = []
    for known in KNOWN_REFUSALS:
        error = (
            f"`{known.code}`"
            if known.code
            else 'no code, and the message "no available channel for model …" (无可用渠道)'
        )
        meaning = known.kind.name.lower().replace("_", " ")
        rows.append([error, str(known.status or "any"), meaning, known.source])
    return table(["error", "status", "meaning", "source"], rows)


def redraw(page):
    """Replace the tables between the markers."""
    for name, drawn in (("verdicts", verdicts()), ("refusals", refusals())):
        begin, end = f"<!-- {name}: begin -->\n", f"<!-- {name}: end -->\n"
        before, _, rest = page.partition(begin)
        page = f"{before}{begin}{drawn}{end}{rest.partition(end)[2]}"
    return page


def test_tables_are_current():
    """The page shows the tables of the program."""
    page = PAGE.read_text()
    assert page == redraw(page), "a table is out of date: run `python tests/meta/test_money_page.py`"


def test_table_is_complete():
    """The table names every kind of body and every outcome."""
    drawn = verdicts()
    assert all(outcome in drawn for outcome in Outcome)
    assert all(body in drawn for body in Body if body not in {Body.ID_AND_ERROR, Body.OTHER})


if __name__ == "__main__":
    PAGE.write_text(redraw(PAGE.read_text()))
