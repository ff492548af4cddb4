"""Parts of the benchmark of retrieval: the material, the sides, and the process of each."""
