"""Contamination: evaluation questions in the synthetic texts, and in the prompts that made them."""
