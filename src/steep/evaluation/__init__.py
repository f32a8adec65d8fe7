"""Checkpoints become scores: questions, likelihoods, statistics."""
