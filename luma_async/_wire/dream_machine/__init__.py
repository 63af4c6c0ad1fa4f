"""Luma's Dream Machine API."""
