"""What a format does not have: every call that not all formats have, refused before any I/O."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar

from luma_async.values.errors import UnsupportedOperation

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from luma_async._wire.answer import Document
    from luma_async._wire.dialect import Call, Match, Page, Row
    from luma_async.values.models import Credits, KeyUsage, User
    from luma_async.values.requests import Request


class Lacking(ABC):
    """Refuses whatever a dialect does not override; each of these raises `UnsupportedOperation`, always."""

    __slots__ = ()
    _HINTS: ClassVar[Mapping[str, str]] = {}
    """What to do instead, by the name of the operation."""

    @property
    @abstractmethod
    def name(self) -> str:
        """The format's name."""

    def unsupported(self, operation: str) -> UnsupportedOperation:
        """Build the error about a call that the format has not."""
        return UnsupportedOperation(operation=operation, service=self.name, hint=self._HINTS.get(operation, ""))

    @property
    def page_size(self) -> int:
        """0: there is no list."""
        return 0

    def query_many(self, generation_ids: Sequence[str]) -> Call:
        """Refuse: generations are looked at one by one."""
        raise self.unsupported("query_many")

    def link(self, generation_id: str) -> Call:
        """Refuse: a generation carries its links, or has none."""
        raise self.unsupported("link")

    def list_page(self, limit: int, offset: int) -> Call:
        """Refuse: nothing is listed."""
        raise self.unsupported("list")

    def delete(self, generation_id: str) -> Call:
        """Refuse: nothing is forgotten on request."""
        raise self.unsupported("delete")

    def concepts(self) -> Call:
        """Refuse: nobody names them."""
        raise self.unsupported("concepts")

    def camera_motions(self) -> Call:
        """Refuse: nobody names them."""
        raise self.unsupported("camera_motions")

    def ping(self) -> Call:
        """Refuse: nobody answers to it."""
        raise self.unsupported("ping")

    def user(self) -> Call:
        """Refuse: nothing is told of the account."""
        raise self.unsupported("user")

    def key(self) -> Call:
        """Refuse: nothing is told of the API key."""
        raise self.unsupported("key")

    def credits(self) -> Call:
        """Refuse: there is no balance in money."""
        raise self.unsupported("credits")

    def read_many(self, document: Document) -> tuple[Row, ...]:
        """Refuse, as `query_many()` does."""
        raise self.unsupported("query_many")

    def read_link(self, document: Document) -> str:
        """Refuse, as `link()` does."""
        raise self.unsupported("link")

    def read_page(self, document: Document) -> Page:
        """Refuse, as `list_page()` does."""
        raise self.unsupported("list")

    def likeness(self, raw: Mapping[str, Any], request: Request) -> Match:
        """Refuse, as `list_page()` does."""
        raise self.unsupported("list")

    def read_names(self, document: Document) -> tuple[str, ...]:
        """Refuse, as `concepts()` and `camera_motions()` do."""
        raise self.unsupported("concepts")

    def read_user(self, document: Document) -> User:
        """Refuse, as `user()` does."""
        raise self.unsupported("user")

    def read_key(self, document: Document) -> KeyUsage:
        """Refuse, as `key()` does."""
        raise self.unsupported("key")

    def read_credits(self, document: Document) -> Credits:
        """Refuse, as `credits()` does."""
        raise self.unsupported("credits")
