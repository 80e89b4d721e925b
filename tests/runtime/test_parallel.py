import threading
import time

import pytest

from featx.classifiers.parallel import run_all
from featx.runtime.parallel import chosen_jobs, jobs_at_a_time, prefetch, set_jobs

PATIENCE = 60


def test_results_come_in_the_order_of_the_jobs():
    second = threading.Event()
    work = [lambda: second.wait(PATIENCE) and "first", lambda: second.set() or "second"]
    assert list(prefetch(lambda job: job(), work, 2, 2)) == ["first", "second"]


def test_no_more_jobs_are_drawn_than_may_wait():
    drawn, running, most = [], [], []

    def jobs():
        for number in range(20):
            drawn.append(number)
            yield number

    def work(number):
        running.append(number)
        most.append(len(running))
        time.sleep(0.002)
        running.remove(number)
        return number

    for kept, number in enumerate(prefetch(work, jobs(), 2, 3)):
        assert number == kept
        assert len(drawn) - kept <= 4
    assert max(most) <= 2


def test_an_error_comes_in_the_place_of_its_result_and_drops_jobs_not_begun():
    begun, found = [], []

    def work(number):
        begun.append(number)
        if number == 1:
            raise ValueError("broken")
        time.sleep(0.02)
        return number

    with pytest.raises(ValueError, match="broken"):
        for number in prefetch(work, range(100), 1, 4):
            found.append(number)
    assert found == [0]
    assert len(begun) < 10


def test_jobs_limit_fits_at_once():
    running, counts = [], []
    gate = threading.Event()

    def fit(number):
        running.append(number)
        counts.append(len(running))
        gate.wait(0.01)
        running.remove(number)

    for jobs, own, expected in ((3, None, 3), (1, None, 1), (1, 2, 2)):
        counts.clear()
        set_jobs(jobs)
        assert jobs_at_a_time() == chosen_jobs() == jobs
        run_all(fit, [(number,) for number in range(12)], n_jobs=own)
        assert max(counts) == expected


@pytest.mark.parametrize("jobs", [1, 3])
def test_jobs_limit_images_read_at_once(jobs):
    barrier = threading.Barrier(jobs)

    def read(_):
        # The barrier opens only where so many read at once.
        barrier.wait(PATIENCE)
        return threading.current_thread().name

    set_jobs(jobs)
    assert len(set(prefetch(read, range(3 * jobs)))) == jobs
