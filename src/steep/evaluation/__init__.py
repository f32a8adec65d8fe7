"""Checkpoints become scores: question sets, methods, engines, statistics, studies.

`run.evaluate` asks every model by every method of `methods.registry.METHODS`; each method keeps
rows and computes its result from them. `results` and `study_results` hold the types of results and
their file, `compare` compares models, and `plan` shows what an evaluation will send.
"""
