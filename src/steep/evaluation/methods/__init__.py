"""The methods of evaluation: each asks a model, keeps rows, and computes its result from rows.

`registry.METHODS` holds them by the names that they have in `scores.json`. A new method is one file
with a `Method` and an entry in the registry. Its result is a `MetricsResult`, which the terminal
and the page show as it is, unless it has a type and a section of its own; `steep status --question`
shows its rows of a question.
"""
