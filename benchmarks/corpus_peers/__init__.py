"""Parts of the benchmark of the corpus: the text, the sides that are compared, and the scoring."""
