"""What a model could do before: the loss on general text, and tasks of lm-evaluation-harness."""
