"""What memory there is, as the machine, resource limits and control groups say it."""

import os
import resource
import subprocess
import sys

import pytest

from featx.errors import UsageError
from featx.runtime import memory
from featx.runtime.memory import available_memory, parse_size, usable_memory


@pytest.mark.parametrize("text", ["", "much", "-1G", "0", "3X", "1,5G"])
def test_what_is_not_a_size_is_refused(text):
    with pytest.raises(UsageError, match="512MiB"):
        parse_size(text)


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """A machine of 8 GiB that runs this process in nested control groups of version 2."""
    proc, groups = tmp_path / "proc", tmp_path / "cgroup"
    (proc / "self").mkdir(parents=True)
    (proc / "meminfo").write_text(f"MemTotal: 1 kB\nMemAvailable: {8 * 2**20} kB\n")
    (proc / "self" / "status").write_text("VmData:\t1024 kB\nRssAnon:\t2048 kB\n")
    (proc / "self" / "cgroup").write_text("1:cpu:/\n0::/batch/job\n")
    monkeypatch.setattr(memory, "_PROC", proc)
    monkeypatch.setattr(memory, "_CGROUPS", groups)
    monkeypatch.setattr(resource, "getrlimit", lambda _: (resource.RLIM_INFINITY,) * 2)
    return groups


def limit(folder, most, names=("memory.max", "memory.current"), prefix=""):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / names[0]).write_text(f"{most}\n")
    (folder / names[1]).write_text("5000\n")
    (folder / "memory.stat").write_text(f"{prefix}active_file 1000\n{prefix}inactive_file 500\n")


def test_without_limits_it_is_what_the_machine_has(machine):
    assert available_memory() == 8 * 2**30


def test_the_tightest_control_group_counts_and_pages_of_files_are_free(machine):
    limit(machine / "batch" / "job", "max")
    limit(machine / "batch", 2**30)
    assert available_memory() == 2**30 - 5000 + 1500


def test_control_groups_of_version_1_count(machine, tmp_path):
    (tmp_path / "proc" / "self" / "cgroup").write_text("4:cpu,memory:/job\n")
    names = ("memory.limit_in_bytes", "memory.usage_in_bytes")
    limit(machine / "memory" / "job", 2**29, names, "total_")
    assert available_memory() == 2**29 - 5000 + 1500


def test_resource_limits_count(machine, monkeypatch):
    limits = {resource.RLIMIT_DATA: 2**28}
    monkeypatch.setattr(
        resource, "getrlimit", lambda which: (limits.get(which, resource.RLIM_INFINITY),) * 2
    )
    assert available_memory() == 2**28 - 2**20


def test_a_limit_that_is_asked_for_counts_what_is_taken(machine):
    assert usable_memory("4MiB") == 2 * 2**20
    assert usable_memory("1MiB") == 0
    assert usable_memory() == available_memory()


# Prints how many new pages 50 arrays of 256 pages each take, one after the other.
ARRAYS = """
import resource, sys
import numpy as np
from featx.runtime.memory import keeping_freed_memory

def new_pages():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(50):
        np.ones(2**17)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

before = new_pages()
with keeping_freed_memory():
    within = new_pages()
print(before, within, new_pages())
"""


def test_a_dask_worker_uses_memory_again_while_it_embeds():
    environment = {**os.environ, "MALLOC_TRIM_THRESHOLD_": "65536"}
    done = subprocess.run(
        [sys.executable, "-c", ARRAYS], env=environment, capture_output=True, text=True, check=True
    )
    before, within, after = map(int, done.stdout.split())
    assert within < 20 * 256
    assert min(before, after) >= 50 * 256
