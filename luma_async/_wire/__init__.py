"""The formats of services: the only place that knows their paths, fields and words. Does no I/O."""
