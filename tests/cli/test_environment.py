from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
from dataclasses import fields
from pathlib import Path

import click
import pytest

import featx
from featx import BenchmarkConfig, ExtractionConfig, FitConfig
from featx.classifiers.parallel import run_all
from featx.cli import main
from featx.cli.root import EXIT_CODES, SECTIONS, VARIABLES, commands
from featx.runtime.parallel import chosen_jobs, jobs_at_a_time, prefetch, set_jobs
from tests.cli.test_help import COMMANDS

SOURCE = Path(featx.__file__).parent


@pytest.fixture(autouse=True)
def _default_jobs():
    yield
    set_jobs(None)


def run(capsys, *arguments):
    with pytest.raises(SystemExit) as stop:
        main([str(argument) for argument in arguments])
    output = capsys.readouterr()
    return stop.value.code, output.out, output.err


def test_help_names_every_variable_and_exit_code(capsys):
    code, text, _ = run(capsys, "--help")
    assert code == 0
    source = "\n".join(path.read_text() for path in SOURCE.rglob("*.py"))
    read = set(re.findall(r"environ(?:\.get|\.setdefault)\(\"([A-Z_]+)\"", source))
    read |= set(re.findall(r"environ\[\"([A-Z_]+)\"\](?! =)", source))
    read |= set(re.findall(r"\"(FEATX_[A-Z_]+)\"", source))
    # CI is set for a moment, to keep OpenVINO from sending what it is used for; Dask sets glibc's.
    others = {"CI", "MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_"}
    assert read - others <= set(VARIABLES)
    for name, meaning in {**VARIABLES, **EXIT_CODES}.items():
        assert re.search(rf"^ +{name} +{re.escape(meaning)}$", text, re.M)


def test_every_command_is_in_one_section_with_its_whole_summary(capsys):
    listed = [name for names in SECTIONS.values() for name in names]
    assert sorted(listed) == sorted(commands.commands)
    _, text, _ = run(capsys, "--help")
    words = " ".join(text.split())
    for command in commands.commands.values():
        assert f"{command.name} {command.get_short_help_str(limit=1000)}" in words


def test_words_are_completed_without_tensorflow():
    code = (
        "import sys\nfrom featx.cli import main\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "heavy = {'tensorflow', 'keras', 'sklearn', 'cv2', 'numpy'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    for typed, place, expected in (
        ("featx ben", 1, {"benchmark"}),
        ("featx cache ", 2, {"ls", "verify", "prune"}),
        ("featx benchmark xrays --preset ", 4, {"fast", "accurate", "varshni"}),
    ):
        environment = {
            **os.environ,
            "_FEATX_COMPLETE": "bash_complete",
            "COMP_WORDS": typed,
            "COMP_CWORD": str(place),
        }
        done = subprocess.run(
            [sys.executable, "-c", code], env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        assert {line.removeprefix("plain,") for line in done.stdout.split()} == expected


def options_of(command):
    return {flag for parameter in command.params for flag in parameter.opts}


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_long_commands_take_quiet_verbose_and_jobs(words):
    flags = options_of(COMMANDS[words])
    assert ("--quiet" in flags) == ("--verbose" in flags)
    if isinstance(COMMANDS[words], click.Group):
        return
    assert "--json" in flags
    if {"images", "matrices", "baseline"} & {p.name for p in COMMANDS[words].params}:
        assert {"--quiet", "--verbose", "--jobs"} <= flags


def test_an_option_has_one_spelling_and_one_default_over_all_commands():
    seen = {}
    for command in COMMANDS.values():
        for parameter in command.params:
            if isinstance(parameter, click.Option) and parameter.name not in {"out", "images"}:
                seen.setdefault(parameter.name, set()).add(parameter.opts[0])
    assert {name: flags for name, flags in seen.items() if len(flags) > 1} == {}


@pytest.mark.parametrize(
    ("words", "config"),
    [("extract", ExtractionConfig), ("fit", FitConfig), ("benchmark", BenchmarkConfig)],
)
def test_defaults_in_help_are_those_of_the_config(words, config):
    shown = {parameter.name: parameter for parameter in COMMANDS[(words,)].params}
    known = [config(), *(getattr(config(), name, None) for name in ("extraction", "fit"))]
    for settings in filter(None, known):
        for name in shown.keys() & {field.name for field in fields(settings)}:
            default, typed = getattr(settings, name), shown[name].to_info_dict()["default"]
            if typed is not None:
                expected = list(default or ["none"]) if shown[name].multiple else default
                assert typed == expected, name


def test_empty_variables_count_as_unset(capsys, monkeypatch):
    for name in VARIABLES:
        if name != "KERAS_BACKEND":
            monkeypatch.setenv(name, "")
    code, text, error = run(capsys, "doctor", "--json")
    assert code == 0, error
    assert json.loads(text)["cache"]["folder"] == str(Path.home() / ".cache" / "featx")
    assert chosen_jobs() is None
    assert featx.ExtractionConfig().cache_folder == Path.home() / ".cache" / "featx"


def test_commands_run_without_standard_error(image_folder, tmp_path):
    code = "import sys\nsys.stderr = None\nfrom featx.cli import main\nmain(sys.argv[1:])"
    words = ["extract", str(image_folder), "--views", "1", "--out", str(tmp_path / "m.h5")]
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "24 rows" in done.stdout


def test_jobs_limit_fits_at_once():
    together, most, lock = 0, 0, threading.Lock()
    gate = threading.Event()

    def fit(_):
        nonlocal together, most
        with lock:
            together += 1
            most = max(most, together)
        gate.wait(0.01)
        with lock:
            together -= 1

    set_jobs(3)
    assert jobs_at_a_time() == chosen_jobs() == 3
    run_all(fit, [(number,) for number in range(12)])
    assert most == 3
    most = 0
    set_jobs(1)
    run_all(fit, [(number,) for number in range(4)])
    assert most == 1
    most = 0
    run_all(fit, [(number,) for number in range(12)], n_jobs=2)
    assert most == 2


def test_jobs_limit_images_read_at_once():
    for jobs in (1, 3):
        set_jobs(jobs)
        barrier = threading.Barrier(jobs)
        # The barrier opens only where so many read at once.
        names = set(prefetch(lambda _, barrier=barrier: _name_after(barrier), range(3 * jobs)))
        assert len(names) == jobs


def _name_after(barrier):
    barrier.wait(30)
    return threading.current_thread().name


def test_jobs_come_from_the_command_or_the_variable(capsys, monkeypatch):
    seen = []
    command = COMMANDS[("demo",)]
    monkeypatch.setattr(command, "callback", lambda **_: seen.append(chosen_jobs()))
    assert run(capsys, "demo", "--jobs", 3)[0] == 0
    monkeypatch.setenv("FEATX_JOBS", "2")
    assert run(capsys, "demo")[0] == 0
    assert run(capsys, "demo", "--jobs", 5)[0] == 0
    monkeypatch.delenv("FEATX_JOBS")
    assert run(capsys, "demo")[0] == 0
    assert seen == [3, 2, 5, None]
    assert run(capsys, "demo", "--jobs", 0)[0] == 2


def test_verbose_adds_versions_and_tracebacks(capsys, tmp_path):
    wrong = ("predict", tmp_path / "none.skops", tmp_path, "--out", tmp_path / "p.csv")
    code, _, error = run(capsys, *wrong)
    assert code == 2
    assert "Traceback" not in error
    code, _, error = run(capsys, *wrong, "--verbose")
    assert code == 2
    assert "Traceback" in error
    assert "scikit-learn " in error
    assert error.rstrip().splitlines()[-1].startswith("featx: ")
