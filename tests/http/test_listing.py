"""A list is read completely while it changes: nothing twice, nothing skipped, and it ends."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from luma_async._http.listing import MAX_REPEATED_PAGES, PageReader


def page_of(held, reader, size):
    return held[reader.offset : reader.offset + size]


def read(held, size, *, between=lambda _: None, tells=True, most=1000):
    """Read a list of ids; `between` changes it after each page. Return what came, and how many pages that took."""
    reader, came, pages = PageReader(size), [], 0
    while reader.offset is not None:
        page = page_of(held, reader, size)
        more = reader.offset + size < len(held) if tells else bool(page)
        came += reader.take(page, has_more=more)
        pages += 1
        assert pages <= most
        between(held)
    return came, pages


@given(st.integers(0, 40), st.integers(2, 10), st.booleans())
@example(length=1, size=3, tells=False)
def test_unchanged_list(length, size, tells):
    """Every generation is read once, in order, whether or not the service says that more follows."""
    held = [f"g{number}" for number in range(length)]
    came, pages = read(list(held), size, tells=tells)
    assert came == held
    # Each page but the first overlaps by one; without `has_more` another page shows the end.
    assert pages <= max(1, -(-max(0, length - 1) // (size - 1))) + 1


@given(st.data(), st.integers(3, 10), st.booleans())
def test_changing_list(data, size, tells):
    """If generations are created or deleted between pages, all others are read exactly once."""
    held = [f"g{number}" for number in range(data.draw(st.integers(0, 40)))]
    begun, deleted = list(held), set()
    numbers = iter(range(10_000))
    changes = iter(data.draw(st.lists(st.integers(-12, 1), max_size=20)))

    def change(held):
        by = next(changes, 0)
        if by > 0:
            held.insert(0, f"new{next(numbers)}")
        for _ in range(min(-by, len(held))):
            deleted.add(held.pop(data.draw(st.integers(0, len(held) - 1))))

    came, _ = read(held, size, between=change, tells=tells)
    assert len(set(came)) == len(came)
    assert set(came) >= set(begun) - deleted


@given(st.integers(1, 60), st.integers(2, 10))
def test_list_deleted_while_read(length, size):
    """Deleting each page moves the rest forward, and still every generation is read."""
    held = [f"g{number}" for number in range(length)]
    reader, came = PageReader(size), []
    while reader.offset is not None:
        page = page_of(held, reader, size)
        new = reader.take(page, has_more=reader.offset + size < len(held))
        came += new
        held = [one for one in held if one not in new]
    assert len(came) == length
    assert held == []


def test_offset_is_ignored():
    """A service that always sends the same page comes to an end, and nothing is read twice."""
    reader, came, pages = PageReader(2), [], 0
    while reader.offset is not None:
        came += reader.take(["a", "b"], has_more=True)
        pages += 1
    assert came == ["a", "b"]
    assert pages == 1 + MAX_REPEATED_PAGES


def test_duplicate_on_page():
    """A generation that is on a page twice is read once."""
    assert PageReader(3).take(["a", "a", "b"], has_more=False) == ["a", "b"]


def test_empty_page():
    """An empty page is the end; after a gap an earlier page is read first."""
    reader = PageReader(2)
    assert reader.take([], has_more=True) == []
    assert reader.offset is None
    reader = PageReader(2)
    assert reader.take(["a", "b"], has_more=True) == ["a", "b"]
    assert reader.take([], has_more=True) == []
    assert reader.offset == 0
