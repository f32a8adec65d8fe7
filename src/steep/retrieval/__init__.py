"""Search for open-book answers: chunks, embeddings, indexes, rerankers, and their quality."""
