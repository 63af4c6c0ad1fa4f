"""The diagram of the phases in the documentation is the table that the program uses.

`python tests/meta/test_lifecycle_page.py` draws it anew.
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


def drawn(page):
    """Put the diagram between its marks."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}{diagram()}{END}{after}"


def test_the_diagram_of_the_phases_is_the_table():
    """The page shows the transitions of today."""
    page = PAGE.read_text()
    assert page == drawn(page), "the diagram is out of date: run `python tests/meta/test_lifecycle_page.py`"


def test_the_diagram_shows_every_phase_and_every_step():
    """Nothing of the table is left out."""
    picture = diagram()
    assert all(phase in picture for phase in Phase)
    assert all(step in picture for _, step in TRANSITIONS)


if __name__ == "__main__":
    PAGE.write_text(drawn(PAGE.read_text()))
