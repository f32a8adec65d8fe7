"""Checkpoints become scores: questions, prompts, engines, rows, statistics, tables.

By likelihood `questions` -> `prompts` -> `likelihood` -> `rows` -> `tables`; by answers `asking`
takes an engine from `few_shot` prompts to `answer_rows`, which `answer_scores` counts. `compare`
puts models side by side, whatever was asked. `summaries/` and `forgetting/` are studies of their
own.
"""
