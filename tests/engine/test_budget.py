from qingtan.engine.budget import FIRST, LEAST, LONGEST, PATIENCE, StepBudget


def test_the_first_step_is_short() -> None:
    assert StepBudget(512).tokens(0) == FIRST
    assert StepBudget(20).tokens(3) == 20


def test_steps_are_as_long_as_streams_may_wait() -> None:
    budget = StepBudget(512)
    budget.observe(100, 1.0)  # 100 tokens a second
    assert budget.tokens(0) == round(100 * LONGEST)
    assert budget.tokens(4) == round(100 * PATIENCE) + 4


def test_a_slow_model_still_reads_and_a_fast_one_is_not_held_back() -> None:
    slow, fast = StepBudget(512), StepBudget(512)
    slow.observe(16, 100.0)
    fast.observe(512, 0.01)
    assert slow.tokens(1) == LEAST + 1
    assert fast.tokens(30) == 512


def test_the_newest_steps_count_most_and_single_tokens_not_at_all() -> None:
    budget = StepBudget(10_000)
    budget.observe(100, 1.0)
    budget.observe(1, 50.0)
    assert budget.tokens(0) == 100
    for _ in range(30):
        budget.observe(100, 0.1)
    assert 900 <= budget.tokens(0) <= 1000
