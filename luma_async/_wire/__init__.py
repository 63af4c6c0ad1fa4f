"""Spelling: the only place that knows a service's paths, fields and words."""
