"""Checkpoints become scores: questions, closed-book prompts, likelihoods, statistics, tables.

`questions` -> `prompts` -> `likelihood` -> `rows` -> `compare`; `statistics` is used by the last.
"""
