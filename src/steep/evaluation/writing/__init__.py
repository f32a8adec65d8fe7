"""Writing of question sets: a model writes questions, and gates reject bad ones."""
