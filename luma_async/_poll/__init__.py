"""One watcher for all generations that are waited for. Loops: watcher, fetcher. Pure: the rest."""
