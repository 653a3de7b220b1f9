"""The learning rate over a budget."""

import itertools

import pytest

from sparseclust.training import BudgetSchedule


def test_warms_up_then_anneals():
    schedule = BudgetSchedule(max_steps=100, warmup=0.1, final=0.01)
    factors = [schedule.factor(schedule.progress(step)) for step in range(101)]
    assert factors[5] == pytest.approx(0.5)
    assert factors[10] == pytest.approx(1.0)
    assert factors[100] == pytest.approx(0.01)
    assert all(a > b for a, b in itertools.pairwise(factors[10:]))


def test_the_faster_budget_sets_the_pace():
    schedule = BudgetSchedule(max_steps=100, max_minutes=1)
    assert schedule.progress(10) == 0.1
    schedule.seconds = 30.0
    assert schedule.progress(10) == 0.5
    schedule.seconds = 90.0
    assert schedule.progress(10) == 1.0


def test_time_spent_is_kept():
    schedule = BudgetSchedule(max_minutes=1)
    schedule.seconds = 12.0
    other = BudgetSchedule(max_minutes=1)
    other.load_state_dict(schedule.state_dict())
    assert other.progress(0) == pytest.approx(0.2)


@pytest.mark.parametrize("options", [{}, {"max_steps": 0}, {"max_minutes": 0.0}, {"max_minutes": -1.0}])
def test_needs_a_budget(options):
    with pytest.raises(ValueError, match="budget"):
        BudgetSchedule(**options)
