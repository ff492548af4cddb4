"""Parts of the benchmark of training: the work, what it is done on, and the sides' own scripts."""
