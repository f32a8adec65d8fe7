"""Checkpoints become scores: question sets, methods, engines, statistics, studies.

`run.evaluate` asks every model by every method of `methods.registry.METHODS`; each method keeps
rows and computes its result from them. `results` and `study_results` hold the types of results,
`scores` their file, and `compare` the comparison of models. `summaries/` and `forgetting/` are
studies, and `plan` shows what an evaluation will send.
"""
