"""An asyncio client for paid, long-running Luma video generation."""
