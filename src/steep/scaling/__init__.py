"""Scores become curves: the scaling study, its fits, and the paper's theory with its simulation."""
