"""The open-book half: documents become chunks, a question finds them, and how well is measured."""
