"""A `Call` becomes a `Completion`: OpenAI-compatible HTTP, models in this process, prices."""
