"""Forgetting: the loss of a model on general text, and its scores on tasks of others."""
