"""Measurements that are too long, or need too much, for the tests."""
