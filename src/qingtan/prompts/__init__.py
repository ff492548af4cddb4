"""Floor 1: how the built-in models are asked, in the words that they were trained on.

The applications, the evaluation and the recipes word their questions here and nowhere else.
"""
