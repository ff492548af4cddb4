"""What the tests' tokenizer is learnt from."""

TEXT = """清谈是一个可以自己拥有的中文语言模型系统。
春眠不觉晓，处处闻啼鸟。夜来风雨声，花落知多少。
床前明月光，疑是地上霜。举头望明月，低头思故乡。
今天天气很好，我们去公园散步吧！你好，请问你叫什么名字？
北京是中国的首都，上海是最大的城市。
The quick brown fox jumps over the lazy dog. Hello world, how are you today?
A language model predicts the next token from the tokens before it.
def add(a, b): return a + b
"""
