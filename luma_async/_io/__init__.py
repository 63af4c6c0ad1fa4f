"""Touching: bytes, time and disk; nothing here decides."""
