"""Mocked HTTP for tests of the shape of requests."""
