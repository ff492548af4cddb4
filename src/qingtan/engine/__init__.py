"""Floor 2: turns prompts into text, many at once.

`engine` takes requests from any thread, and `loop` computes them on a thread of its own: the
`scheduler` decides what each step computes and where in the paged `kv_cache`, a `runner` computes
it, `drawing` draws the next tokens, `text` makes text of them, and `events` tell of it. A text may
be bound to a `grammar`, and `speculation` guesses tokens ahead. `answer` makes answers of events,
`blank` prompts of texts with blanks.

`native_runner` runs packed `weights` on the processor's own instructions; `torch_runner`, the
reference and the way to a GPU, is the only one that imports torch. `open` chooses between them.
"""
