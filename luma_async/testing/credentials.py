"""Who is let in by a fake service."""

from __future__ import annotations

import attrs

_SCHEME = "Bearer "


@attrs.frozen(kw_only=True)
class Credentials:
    """What clients must show."""

    api_key: str = attrs.field(repr=False)
    access_token: str | None = attrs.field(repr=False)
    user_id: int
    strict: bool
    """Whether only this key opens; otherwise any key does that is not empty."""

    def admit(self, authorization: str | None) -> bool:
        """Whether this `Authorization` header shows a key that opens."""
        if self.strict:
            return authorization == _SCHEME + self.api_key
        # HTTP trims values, so that something follows the blank if it is there at all.
        return authorization is not None and authorization.startswith(_SCHEME)
