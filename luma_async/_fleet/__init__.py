"""Polling for several programs that share a journal: one of them polls for all."""
