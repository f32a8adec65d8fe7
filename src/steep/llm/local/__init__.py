"""Models in this process: prompts as token ids, batched decoding, sampling, grammars, weights."""
