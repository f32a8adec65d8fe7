"""The live page of `steep view`, which follows a run."""
