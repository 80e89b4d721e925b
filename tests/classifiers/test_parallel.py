import threading

import pytest
from joblib import Parallel, delayed, parallel_config
from threadpoolctl import threadpool_info, threadpool_limits

from featx.classifiers.parallel import run_all


def thread():
    return threading.get_ident()


def inner_threads():
    return {library["num_threads"] for library in threadpool_info()}


def square(number):
    return number * number


def nested():
    return run_all(thread, [()] * 4)


@pytest.mark.parametrize("n_jobs", [None, 1, 2])
def test_results_in_order_and_each_counted(n_jobs):
    done = []
    tasks = [(number,) for number in range(20)]
    results = run_all(square, tasks, n_jobs=n_jobs, done=done.append)
    assert results == done == [number**2 for number in range(20)]


def test_alone_it_uses_other_threads_and_parallel_config_is_honored():
    with parallel_config(n_jobs=1):
        assert set(run_all(thread, [()] * 4)) == {thread()}
    with parallel_config(n_jobs=2):
        assert thread() not in run_all(thread, [()] * 4)
    assert set(run_all(thread, [()] * 4, n_jobs=1)) == {thread()}


def test_inside_a_parallel_loop_it_does_not_multiply():
    assert all(
        len(set(threads)) == 1
        for threads in Parallel(2, prefer="threads")(delayed(nested)() for _ in range(2))
    )


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_one_thread_inside_each_task_and_restored_after(n_jobs):
    with threadpool_limits(2):
        assert run_all(inner_threads, [()] * 4, n_jobs=n_jobs) == [{1}] * 4
        assert 2 in inner_threads()


def test_an_error_reaches_the_caller():
    with pytest.raises(TypeError):
        run_all(square, [(1,), ("two",)], n_jobs=2)
