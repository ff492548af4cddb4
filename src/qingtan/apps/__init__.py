"""Floor 5: what people use a model for."""
