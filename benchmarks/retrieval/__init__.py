"""Retrieval: agreement with what others wrote, and how much is found."""
