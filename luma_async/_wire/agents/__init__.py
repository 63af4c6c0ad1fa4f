"""Luma's present API, "Agents"."""
