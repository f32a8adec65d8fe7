"""The methods of evaluation: each asks a model, keeps rows, and computes its result from rows.

`registry.METHODS` holds them by the names that they have in `scores.json`. A new method is one file
here (ask, rows, result) with an entry in the registry, and the type of its result in `results.py`.
"""
