"""Summaries from memory: written, taken apart into claims, judged, counted beside human ones."""
