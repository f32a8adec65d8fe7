"""What every room uses: hashes, derived seeds, permutations, atomic files, errors, progress."""
