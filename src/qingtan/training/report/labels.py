"""Names of what a run measures, in both languages."""

from qingtan.corpus.report.labels import Label

MEASURES = {
    "loss": Label("Training loss", "训练损失"),
    "gradient_norm": Label("Norm of the gradient", "梯度范数"),
    "learning_rate": Label("Learning rate", "学习率"),
    "tokens_per_second": Label("Tokens a second", "每秒词元"),
    "mfu": Label("Share of the device's peak (MFU)", "占设备峰值算力（MFU）"),
    "bits_per_byte": Label("Bits a byte of held-out text", "留出文本的每字节比特"),
    "epsilon": Label("Privacy spent (ε)", "已用隐私预算（ε）"),
}

# Parts of the training loss; others appear under their own names.
PARTS = {
    "cross_entropy": Label("Cross-entropy", "交叉熵"),
    "divergence": Label("Divergence from the teacher", "与教师的散度"),
    "hidden": Label("Difference of the hidden states", "隐藏状态之差"),
    "accuracy": Label("Training pairs told rightly", "训练对判断正确率"),
    "margin": Label("Margin of training pairs", "训练偏好对的间隔"),
}

# What is measured on held-out pairs.
PAIRS = {
    "accuracy": Label("Held-out pairs told rightly", "留出偏好对判断正确率"),
    "margin": Label("Margin of held-out pairs", "留出偏好对的间隔"),
    "loss": Label("Loss of held-out pairs", "留出偏好对的损失"),
}

# What is measured of an encoder.
FINDING = {
    "recall_1": Label(
        "Held-out questions whose passage is the nearest", "留出问题：所属段落排第一"
    ),
    "recall_5": Label("Held-out questions whose passage is among five", "留出问题：所属段落在前五"),
    "mrr": Label("Mean of 1 / rank of held-out passages", "留出段落的平均倒数排名"),
}

UNITS = {
    "loss": Label("nats", "奈特"),
    "cross_entropy": Label("nats", "奈特"),
    "divergence": Label("nats", "奈特"),
    "bits_per_byte": Label("lower is better", "越低越好"),
    "mfu": Label("%", "%"),
}
