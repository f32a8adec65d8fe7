"""Ids and hashes, derived seeds, permutations, atomic files, errors, progress: what every room uses."""
