"""A scripted LLM server, a two-layer model, a tiny corpus; shipped, so users can test too."""
