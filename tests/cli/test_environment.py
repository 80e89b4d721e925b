import inspect
import json
import os
import re
import shlex
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import click
import pytest

import featx
from featx import BenchmarkConfig, ExtractionConfig, FitConfig
from featx.cli.root import EXIT_CODES, SECTIONS, VARIABLES, commands
from featx.runtime.parallel import chosen_jobs

SOURCE = Path(featx.__file__).parent


def walk(group, *words):
    for name, command in group.commands.items():
        yield (*words, name), command
        if isinstance(command, click.Group):
            yield from walk(command, *words, name)


COMMANDS = dict(walk(commands))


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_every_command_shows_an_example_that_it_understands(words, place, monkeypatch):
    monkeypatch.chdir(place)
    paragraphs = inspect.cleandoc(COMMANDS[words].help).split("\n\n")
    (example,) = [text for text in paragraphs if text.startswith("Example: featx ")]
    typed = shlex.split(example.removeprefix("Example: featx "))
    assert tuple(typed[: len(words)]) == words
    command, arguments = COMMANDS[words], typed[len(words) :]
    if isinstance(command, click.Group):
        _, command, arguments = command.resolve_command(click.Context(command), arguments)
    command.make_context(" ".join(words), arguments)


def test_help_names_every_variable_and_exit_code(run_featx):
    code, text, _ = run_featx("--help")
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


def test_every_command_is_in_one_section_with_its_whole_summary(run_featx):
    listed = [name for names in SECTIONS.values() for name in names]
    assert sorted(listed) == sorted(commands.commands)
    _, text, _ = run_featx("--help")
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


@pytest.mark.parametrize("words", [("--help",), *([*each, "--help"] for each in COMMANDS)])
def test_help_fits_80_columns_whole(run_featx, monkeypatch, words):
    monkeypatch.setenv("COLUMNS", "80")
    code, text, _ = run_featx(*words)
    # The last lines are to be copied as they are.
    lines = text.partition("Completion in your shell")[0].splitlines()
    assert code == 0 and max(map(len, lines)) <= 80
    texts = [line for line in lines[1:] if not line.startswith("  --")]
    assert not any(line.rstrip().endswith(("...", "\u2026")) for line in texts)


def test_the_demo_ends_with_commands_that_exist():
    from featx.benchmarking.demo import NEXT_STEPS

    lines = NEXT_STEPS.splitlines()
    assert max(map(len, lines)) <= 80
    named = [line.split() for line in lines if line.startswith("    featx ")]
    assert [words[1] for words in named] == ["benchmark", "extract", "fit", "predict"]
    for words in named:
        known = options_of(COMMANDS[(words[1],)])
        assert {word for word in words if word.startswith("--")} <= known


def test_empty_variables_count_as_unset(run_featx, monkeypatch):
    for name in VARIABLES:
        if name != "KERAS_BACKEND":
            monkeypatch.setenv(name, "")
    code, text, error = run_featx("doctor", "--json")
    assert code == 0, error
    assert json.loads(text)["cache"]["folder"] == str(Path.home() / ".cache" / "featx")
    assert chosen_jobs() is None
    assert featx.ExtractionConfig().cache_folder == Path.home() / ".cache" / "featx"


def test_commands_run_without_standard_error(image_folder, tmp_path):
    code = (
        "import sys\nsys.stderr = None\nfrom featx.cli import main\n"
        "from featx.features.pipeline import ENGINES\n"
        "from tests.features.worker import quick_engine\n"
        "ENGINES.factory = quick_engine\nmain(sys.argv[1:])"
    )
    words = ["extract", str(image_folder), "--views", "1", "--out", str(tmp_path / "m.h5")]
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "24 rows" in done.stdout


def test_jobs_come_from_the_command_or_the_variable(run_featx, monkeypatch):
    seen = []
    monkeypatch.setattr(COMMANDS[("demo",)], "callback", lambda **_: seen.append(chosen_jobs()))
    for words, variable in ((["--jobs", 3], ""), ([], "2"), (["--jobs", 5], "2"), ([], "")):
        monkeypatch.setenv("FEATX_JOBS", variable)
        assert run_featx("demo", *words)[0] == 0
    assert seen == [3, 2, 5, None]
    assert run_featx("demo", "--jobs", 0)[0] == 2


def test_verbose_adds_versions_and_tracebacks(run_featx, tmp_path):
    (tmp_path / "damaged.skops").write_bytes(b"damaged")
    wrong = ("predict", tmp_path / "damaged.skops", tmp_path, "--out", tmp_path / "p.csv")
    code, _, error = run_featx(*wrong)
    assert code == 1
    assert "Traceback" not in error
    code, _, error = run_featx(*wrong, "--verbose")
    assert code == 1
    assert "Traceback" in error
    assert "scikit-learn " in error
    assert error.rstrip().splitlines()[-1].startswith("featx: ")
