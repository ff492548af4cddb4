"""How many tokens a step may carry, so that nobody waits long for it to end."""

# A stream's next token is not to wait longer than this, in seconds, for a step that also reads
# prompts; people begin to notice pauses in a text from about here.
PATIENCE = 0.2
# Where nobody generates, a step keeps only those waiting who come or who give up meanwhile.
LONGEST = 1.0
# So many tokens a step may carry however slow it is: fewer waste the reading of the weights.
LEAST = 16
# The first step is short: nobody knows yet how long it takes.
FIRST = 64
# The share that the newest step has in the speed that is believed.
_NEWEST = 0.3


class StepBudget:
    """Learns how fast steps are, and sizes them by that.

    Args:
        most: the most tokens of a step.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._seconds_per_token: float | None = None

    def tokens(self, streams: int) -> int:
        """Return the budget of a step in which so many sequences generate."""
        if self._seconds_per_token is None:
            return min(self._most, FIRST + streams)
        seconds = PATIENCE if streams else LONGEST
        affordable = int(seconds / self._seconds_per_token)
        return min(self._most, max(LEAST, affordable) + streams)

    def observe(self, tokens: int, seconds: float) -> None:
        """Learn from a step. Small ones say nothing about the speed of reading."""
        if tokens < LEAST:
            return
        measured = seconds / tokens
        known = self._seconds_per_token
        self._seconds_per_token = (
            measured if known is None else known + _NEWEST * (measured - known)
        )
