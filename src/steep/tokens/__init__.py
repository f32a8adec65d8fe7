"""Passages become packed token shards; data order and replay are pure functions."""
