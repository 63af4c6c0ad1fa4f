"""The diagram of the phases in the documentation agrees with the table that the program uses.

`python tests/meta/test_lifecycle_page.py` draws it again.
"""

from __future__ import annotations

from pathlib import Path

from luma_async import Phase
from luma_async._journal.lifecycle import TRANSITIONS

PAGE = Path(__file__).parents[2] / "docs" / "explanation" / "money.md"
BEGIN, END = "<!-- lifecycle: begin -->\n", "<!-- lifecycle: end -->\n"


def diagram():
    """Draw the table in Mermaid: one arrow for each pair of phases, labelled with the steps that lead along it."""
    steps = {}
    for (before, step), after in TRANSITIONS.items():
        steps.setdefault((before, after), []).append(str(step))
    names = {phase: f'    state "{str(phase).replace("_", " ")}" as {phase}' for phase in Phase if "_" in phase}
    arrows = [f"    {before or '[*]'} --> {after}: {', '.join(labels)}" for (before, after), labels in steps.items()]
    ends = [f"    {phase} --> [*]" for phase in Phase if not any(before is phase for before, _ in TRANSITIONS)]
    return "\n".join(["```mermaid", "stateDiagram-v2", *names.values(), *arrows, *ends, "```"]) + "\n"


def redraw(page):
    """Replace the diagram between the markers."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}{diagram()}{END}{after}"


def test_diagram_is_current():
    """The page shows the transitions of the table."""
    page = PAGE.read_text()
    assert page == redraw(page), "the diagram is out of date: run `python tests/meta/test_lifecycle_page.py`"


def test_diagram_is_complete():
    """The diagram names every phase and every step."""
    picture = diagram()
    assert all(phase in picture for phase in Phase)
    assert all(step in picture for _, step in TRANSITIONS)


if __name__ == "__main__":
    PAGE.write_text(redraw(PAGE.read_text()))
