"""Retry policies as they are written: both strategies, both spellings, and what is wrong with one."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fnpack_host.app.function_app import FunctionApp
from fnpack_host.app.retry import RetryPolicy, read_retry, retry_problems
from fnpack_host.errors import HostJsonError
from fnpack_host.settings import Settings

FIXED = {"strategy": "fixedDelay", "maxRetryCount": 4, "delayInterval": "00:00:10"}
GROWING = {
    "strategy": "exponentialBackoff",
    "maxRetryCount": 5,
    "minimumInterval": "00:00:10",
    "maximumInterval": "00:15:00",
}
TIMER = """{{"retry": {retry}, "bindings": [
    {{"type": "timerTrigger", "direction": "in", "name": "timer", "schedule": "0 0 0 1 1 *"}}]}}"""


@pytest.mark.parametrize(
    ("values", "policy"),
    [
        (FIXED, RetryPolicy(4, 10.0)),
        (GROWING, RetryPolicy(5, 10.0, 900.0)),
        ({**FIXED, "maxRetryCount": -1}, RetryPolicy(-1, 10.0)),
        ({"STRATEGY": "FixedDelay", "MaxRetryCount": "3", "delayinterval": "00:00"}, RetryPolicy(3, 0.0)),
        (
            {"strategy": "fixed_delay", "max_retry_count": "2", "delay_interval": "00:00:01"},
            RetryPolicy(2, 1.0),
        ),
    ],
)
def test_both_strategies_are_read_in_both_spellings(values, policy):
    assert retry_problems(values) == []
    assert read_retry(values) == policy


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({**FIXED, "strategy": "often"}, "strategy is 'often', but must be fixedDelay or exponentialBackoff"),
        ({**FIXED, "strategy": None}, "strategy is None"),
        ({**FIXED, "maxRetryCount": -2}, "maxRetryCount is -2, but must be a whole number from 0 to"),
        ({**FIXED, "maxRetryCount": "many"}, "maxRetryCount is 'many'"),
        ({**FIXED, "maxRetryCount": True}, "maxRetryCount is True"),
        ({"strategy": "fixedDelay", "delayInterval": "00:00:01"}, "maxRetryCount is None"),
        ({**FIXED, "delayInterval": "10"}, "delayInterval is '10', but must be a time span"),
        ({**FIXED, "delayInterval": "-00:00:01"}, "delayInterval is '-00:00:01'"),
        ({**GROWING, "maximumInterval": None}, "maximumInterval is None"),
        ({**GROWING, "minimumInterval": "01:00:00"}, "must be at most maximumInterval ('00:15:00')"),
    ],
)
def test_what_is_wrong_is_named_with_key_value_and_range(values, problem):
    (found,) = retry_problems(values)
    assert problem in found


def test_fixed_wait_stays_and_growing_wait_doubles_up_to_its_limit():
    assert [read_retry(FIXED).wait_before(n) for n in (1, 2, 9)] == [10, 10, 10]
    policy = read_retry(GROWING)
    waits = [policy.wait_before(n, lambda low, high: 1.0) for n in range(1, 10)]
    assert waits == [10, 20, 30, 50, 90, 170, 330, 650, 900]
    assert policy.wait_before(10**6) == 900


@given(st.integers(1, 60), st.floats(0.001, 100), st.floats(100, 10000))
def test_growing_wait_is_shaken_by_a_fifth_and_stays_between_its_bounds(retry, shortest, longest):
    policy = RetryPolicy(-1, shortest, longest)
    low, middle, high = (policy.wait_before(retry, lambda a, b, f=f: f) for f in (0.8, 1.0, 1.2))
    assert shortest <= low <= middle <= high <= longest
    assert low <= policy.wait_before(retry) <= high


def test_repeats_are_counted_and_minus_one_has_no_bound():
    assert [RetryPolicy(2, 0).allows(n) for n in (1, 2, 3)] == [True, True, False]
    assert not RetryPolicy(0, 0).allows(1)
    assert RetryPolicy(-1, 0).allows(10**9)


def load(root, retry="null", host="null"):
    (root / "tick").mkdir(exist_ok=True)
    (root / "tick" / "function.json").write_text(TIMER.format(retry=retry))
    (root / "tick" / "__init__.py").write_text("def main(timer): pass\n")
    (root / "host.json").write_text(f'{{"version": "2.0", "retry": {host}}}')
    return FunctionApp.load(root, Settings({}))


def test_function_json_wins_over_host_json(tmp_path):
    host = '{"strategy": "fixedDelay", "maxRetryCount": 1, "delayInterval": "00:00:01"}'
    app = load(tmp_path, host=host)
    assert app.retry_of(app.functions[0]) == RetryPolicy(1, 1.0)
    app = load(tmp_path, retry=host.replace("1,", "7,"), host=host)
    assert app.retry_of(app.functions[0]) == RetryPolicy(7, 1.0)


def test_wrong_policy_of_a_function_is_its_error_and_of_host_json_the_apps(tmp_path):
    app = load(tmp_path, retry='{"strategy": "fixedDelay", "maxRetryCount": 1}')
    assert "function.json: retry.delayInterval is None" in str(app.functions[0].error)
    assert "must be an object" in str(load(tmp_path, retry="[]").functions[0].error)
    with pytest.raises(HostJsonError, match=r"retry.minimumInterval is '00:00:05', but must be at most"):
        load(
            tmp_path,
            host='{"strategy": "exponentialBackoff", "maxRetryCount": 1, "minimumInterval": "00:00:05", '
            '"maximumInterval": "00:00:01"}',
        )
    with pytest.raises(HostJsonError) as told:
        load(tmp_path, host='{"strategy": "fixedDelay", "maxRetryCount": -5, "delayInterval": "00:00:01"}')
    assert str(told.value).count("maxRetryCount") == 1


def test_environment_overrides_the_policy_of_host_json(tmp_path):
    load(tmp_path, host='{"strategy": "fixedDelay", "maxRetryCount": 1, "delayInterval": "00:00:01"}')
    overrides = {"AzureFunctionsJobHost__retry__maxRetryCount": "9"}
    app = FunctionApp.load(tmp_path, Settings(overrides))
    assert app.retry_of(app.functions[0]) == RetryPolicy(9, 1.0)


def test_waits_never_shrink_without_chance():
    waits = [read_retry(GROWING).wait_before(n, lambda low, high: 1.0) for n in range(1, 70)]
    assert all(one <= following for one, following in pairwise(waits))
