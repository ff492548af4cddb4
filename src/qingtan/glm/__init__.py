"""The GLM itself: configuration, tokenizer, conversation format, model and checkpoints."""
