"""Measurements of `steep.generation` and its neighbours; each module says its command."""
