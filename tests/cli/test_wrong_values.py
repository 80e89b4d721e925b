"""Every option and argument of every command refuses wrong values before any work."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import click
import pytest

from featx.cli import parameters
from featx.cli.root import commands
from featx.errors import UsageError
from featx.runtime.files import check_output, put_bytes
from tests.cli.test_environment import walk

# Runs many commands in one process; says for each what it printed and which libraries it took.
SCRIPT = """
import contextlib, io, json, sys
from featx.cli import main
HEAVY = {"tensorflow", "keras", "sklearn", "xgboost"}
found = []
for words in json.loads(sys.stdin.read()):
    error, before = io.StringIO(), set(sys.modules)
    with contextlib.redirect_stderr(error), contextlib.redirect_stdout(error):
        try:
            main(words)
        except SystemExit as stop:
            code = stop.code
    heavy = sorted(HEAVY & set(sys.modules) - before)
    found.append([words, code, error.getvalue(), heavy])
print(json.dumps(found))
"""

LONG = "a" * 5000

# Wrong values by type; each message names the value and what is allowed.
WRONG = {
    parameters.BACKBONE: ["resnet5", "efficientnet_lite0@100000"],
    parameters.BACKBONES: ["resnet5", "efficientnet_lite0@100000", "vgg16+", ","],
    parameters.BASELINE: ["ramirez", "finetuned:nothing", ""],
    parameters.BASELINES: ["ramirez", "finetuned:nothing"],
    parameters.CLASSIFIER: ["swm", ""],
    parameters.CLASSIFIERS: ["swm", "svm;logistic"],
    parameters.COLUMNS: ["path", "path:x"],
    parameters.RENAMED: ["A=B"],
    parameters.MEMORY: ["8Gob", "0", "-1", ""],
    parameters.OPERATING_POINT: ["yuden", "sensitivity=2", "cost=5", ""],
    parameters.PUBLIC_SET: ["kermani"],
    parameters.SCHEDULER: ["127.0.0.1", "", "http://127.0.0.1:8786"],
    parameters.SECRET: ["", "short", "   "],
    parameters.WEIGHTS: ["imagnet", ".", ""],
}
WRONG_BY_KIND = {
    "file": ["", "/", ".", "/dev/null", "file/x", LONG],
    "folder": ["", "/", "file", "/dev/null", "file/x", LONG],
    "images": ["", "absent", "features.h5", "models/svm.skops", "results", "/dev/null", LONG],
    "matrix": ["", "absent", "chest_xray", "models/svm.skops", "results", "table.csv", "pipe"],
    "model": ["", "absent", "chest_xray", "features.h5", "results", "table.csv", "pipe"],
    "results": ["", "absent", "chest_xray", "features.h5", "models/svm.skops", "table.csv"],
}
# What messages say in place of the value; a secret is not repeated.
SAID = {
    "vgg16+": "''",
    ",": "name at least one",
    "finetuned:nothing": "'nothing'",
    "age=color": "'color'",
}
# Texts that only images, or results, can prove wrong.
FREE = {"patients", "labels", "recipes", "positive", "unit", "findings", "subgroups", "row"}


RIGHT = {"images": "chest_xray", "matrix": "features.h5", "matrices": "features.h5"}
RIGHT |= dict.fromkeys(("folder", "first", "second"), "results") | {"model": "models/svm.skops"}
RIGHT["backbone"] = "efficientnet_lite0"


def wrong_values(parameter):
    # Lists of names are checked one by one.
    kind = KINDS.get(parameter.name, parameter.type)
    if parameter.name == "externals":
        # Sets that cannot be used are left out where others can.
        return ["nothing", "=chest_xray", "a="]
    if parameter.name.startswith("external_"):
        return ["nothing", "a=", "=b"]
    if parameter.name == "covariates":
        return [",", "age=color"]
    if parameter.name == "leave_group_out":
        return ["", "site,age", "age:5,3"]
    if parameter.name == "resources":
        return ["GPU", "GPU=x"]
    if parameter.name == "part":
        return ["0/2", "3/2", "x", ""]
    if isinstance(kind, parameters.Choice):
        return ["wrong", ""]
    if isinstance(kind, click.IntRange | click.FloatRange):
        return ["-1", "x", "", "nan" if isinstance(kind, parameters.FloatRange) else "1.5"]
    if isinstance(kind, parameters.InputPath | parameters.OutputPath):
        values = WRONG_BY_KIND[kind.kind]
        return values[1:] if parameter.name == "name" else values
    if isinstance(kind, click.Path):
        return ["absent", "", LONG]
    return WRONG[kind]


KINDS = {
    "backbones": parameters.BACKBONES,
    "baselines": parameters.BASELINES,
    "classifiers": parameters.CLASSIFIERS,
    "formats": parameters.FORMAT,
}


def cases():
    for words, command in walk(commands):
        if isinstance(command, click.Group):
            continue
        arguments = [each for each in command.params if isinstance(each, click.Argument)]
        needed = [p for p in command.params if isinstance(p, click.Option) and p.required]
        right = [RIGHT[each.name] for each in arguments if each.name != "name"]
        for parameter in command.params:
            if getattr(parameter, "is_flag", False) or parameter.name in FREE:
                continue
            for value in wrong_values(parameter):
                if isinstance(parameter, click.Argument):
                    typed = [value if a is parameter else RIGHT[a.name] for a in arguments]
                else:
                    typed = [*right, parameter.opts[0], value]
                for other in needed:
                    if other is not parameter:
                        example = {"baseline": "ramirez-cnn"}.get(other.name, "out")
                        typed += [other.opts[0], example]
                yield [*words, *typed], value


def test_wrong_values_end_with_2_and_one_line_before_any_work(place):
    before = sorted(place.rglob("*"))
    asked = list(cases())
    assert len(asked) > 250
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        cwd=place,
        input=json.dumps([words for words, _ in asked]),
        capture_output=True,
        text=True,
        check=True,
    )
    problems = []
    for (words, value), (_, code, error, heavy) in zip(asked, json.loads(done.stdout), strict=True):
        said = "characters" if "--hash-patients" in words else SAID.get(value, value[:50])
        if code != 2 or heavy or error.count("\n") != 1 or said not in error:
            problems.append((words, code, error[-500:], heavy))
    assert not problems, "\n".join(f"{words[:4]}: {rest}"[:600] for words, *rest in problems)
    assert sorted(place.rglob("*")) == before


def test_no_command_writes_over_what_it_reads(place, run_featx, monkeypatch):
    monkeypatch.chdir(place)
    # A table that `featx predict` wrote may be replaced, but not while it is read.
    (place / "table.csv").write_text("path,probability_NORMAL\n")
    for words in (
        ["predict", "models/svm.skops", "chest_xray", "--out", "models/svm.skops"],
        ["explore", "features.h5", "--out", "./features.h5"],
        ["predict", "models/svm.skops", "table.csv", "--out", "../place0/table.csv"],
    ):
        code, _, error = run_featx(*words)
        assert code == 2 and ("is what is read" in error or "no such file of" in error)


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_a_folder_without_permission_is_refused(kind):
    # Another user may not enter a private $TMPDIR.
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        Path(folder).chmod(0o555)
        child = os.fork()
        if child == 0:
            try:
                # Root may write everywhere.
                if os.geteuid() == 0:
                    os.setuid(65534)
                check_output(Path(folder, "new", "x"), kind)
            except UsageError as error:
                os._exit("you may not write in" not in str(error))
            finally:
                os._exit(2)
        assert os.waitpid(child, 0)[1] == 0


def test_links_are_followed_and_parents_made(tmp_path):
    target, link = tmp_path / "target", tmp_path / "link"
    link.symlink_to(target)
    assert check_output(link, "file") == link
    put_bytes(link, b"1")
    assert link.is_symlink() and target.read_bytes() == b"1"
    put_bytes(check_output(tmp_path / "new" / "deep" / "file", "file"), b"1")
    link.unlink()
    link.symlink_to(link)
    with pytest.raises(UsageError, match="cannot be written"):
        check_output(link, "file")
