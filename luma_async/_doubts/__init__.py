"""Submits whose outcome is unknown. Pure: matching. I/O: doubts, reconciler."""
