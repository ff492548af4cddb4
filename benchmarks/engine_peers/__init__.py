"""Parts of the benchmark of the engine: the models, the machine's ceilings, and the sides."""
