"""Floor 2: turns prompts into text, many at once.

`scheduler` decides what each step computes, a `runner` computes it, `sampling` picks the tokens,
`text` makes text of them, and `engine` drives the four from a thread of its own; `answer` makes
answers of its events, and `blank` prompts of texts with blanks. Only `torch_runner` imports torch.
"""
