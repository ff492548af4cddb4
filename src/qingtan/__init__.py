"""Qingtan (清谈): a Chinese language-model system in the mould of ChatGLM3."""
