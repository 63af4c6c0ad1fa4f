"""The journal in a SQLite file: one writer thread, group commit, an owner lock."""
