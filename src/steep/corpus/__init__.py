"""Completions become clean passages with provenance and rank."""
