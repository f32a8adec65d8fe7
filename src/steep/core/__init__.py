"""Shared by all packages: hashes, derived seeds, permutations, atomic files, errors, progress."""
