"""P-Tuning v2 (2110.07602): learned keys and values instead of a prompt."""

from torch import Tensor, nn

from qingtan.glm.config import GLMConfig


class PrefixEncoder(nn.Module):
    """Makes the keys and values that stand before every layer's own; see `GLM.forward`.

    Args:
        length: P, the number of virtual tokens.
        projection: pass an embedding of width D through Linear, tanh, Linear (ChatGLM's
            `prefix_projection`), instead of learning keys and values directly.
    """

    def __init__(self, config: GLMConfig, length: int, projection: bool = False) -> None:
        super().__init__()
        self.config = config
        width = config.num_hidden_layers * 2 * config.num_key_value_heads * config.head_dim
        self.embedding = nn.Embedding(length, config.hidden_size if projection else width)
        self.projection: nn.Module = nn.Identity()
        if projection:
            # ChatGLM names the hidden width of the two after the model's own.
            self.projection = nn.Sequential(
                nn.Linear(config.hidden_size, config.hidden_size),
                nn.Tanh(),
                nn.Linear(config.hidden_size, width),
            )
        self.dropout = nn.Dropout(0.1)

    def forward(self) -> Tensor:
        """Return the prefix (L, 2, G, P, W)."""
        c = self.config
        flat = self.dropout(self.projection(self.embedding.weight))
        shape = (len(flat), c.num_hidden_layers, 2, c.num_key_value_heads, c.head_dim)
        prefix: Tensor = flat.view(shape).permute(1, 2, 3, 0, 4)
        return prefix
