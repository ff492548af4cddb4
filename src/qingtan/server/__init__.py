"""Floor 6: the OpenAI API and the console over HTTP."""
