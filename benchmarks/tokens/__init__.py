"""Measurements of tokenising and packing; each module says how to run it."""
