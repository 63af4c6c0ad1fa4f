"""An example of prices for `Budget`. Prices change: copy it, and check each row against your own bill."""

from __future__ import annotations

from decimal import Decimal
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

example: Mapping[str, Decimal] = MappingProxyType(
    {
        f"ray-3.2 {resolution} {duration}{effect}": Decimal(price) * factor
        for resolution, prices in {
            "360p": {"5s": "0.06", "10s": "0.18"},
            "540p": {"5s": "0.15", "10s": "0.45"},
            "720p": {"5s": "0.30", "10s": "0.90"},
            "1080p": {"5s": "1.20", "10s": "3.60"},
        }.items()
        for duration, price in prices.items()
        for effect, factor in {"": 1, " hdr": 2, " hdr exr": 3}.items()
    }
)
"""Videos of `Agents()`, in US dollars, as Luma's public price list for the Agents API had them from July to October
2026. It is not kept up to date, and a relay has prices of its own."""
