"""Steep soaks a language model in your documents: synthetic continued pretraining, end to end."""

__version__ = "0.1.0"
