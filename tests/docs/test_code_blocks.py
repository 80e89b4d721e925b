"""The code blocks of the README and of the docs run, on small synthetic images."""

import json
import re
from pathlib import Path

import click
import numpy as np
import pytest
from PIL import Image

import featx
import featx.cli
from featx.cli.root import commands
from tests.docs.blocks import PAGES, ROOT, read_blocks


def draw_images(folder, per_class, first_patient):
    """Two classes under the file names of Kermany et al. 2018, which say the patient."""
    generator = np.random.default_rng(first_patient)
    patterns = {"NORMAL": "IM-{:04d}-0001.png", "PNEUMONIA": "person{}_bacteria_1.png"}
    for level, (label, pattern) in enumerate(patterns.items()):
        (folder / label).mkdir(parents=True)
        for number in range(first_patient, first_patient + per_class):
            coarse = generator.integers(0, 120, (6, 6)) + 100 * level
            image = Image.fromarray(coarse.astype(np.uint8)).resize((48, 48))
            image.save(folder / label / pattern.format(number))


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("shared-cache")


@pytest.fixture
def folder(tmp_path, monkeypatch, cache):
    """A working directory with the files that the pages name."""
    draw_images(tmp_path / "chest_xray" / "train", 10, 1)
    draw_images(tmp_path / "chest_xray" / "test", 4, 101)
    draw_images(tmp_path / "other_hospital", 4, 201)
    draw_images(tmp_path / "new_images", 2, 301)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FEATX_CACHE", str(cache))
    return tmp_path


def parse(words, group=commands, name="featx"):
    """Parse a command line as featx does, and leave an empty file or folder as it would write."""
    context = group.make_context(name, list(words))
    if isinstance(group, click.Group):
        rest = [*context._protected_args, *context.args]
        child, command, arguments = group.resolve_command(context, rest)
        parse(arguments, command, child)
    elif context.params.get("out") is not None:
        out = Path(context.params["out"])
        out.touch() if out.suffix else out.mkdir(exist_ok=True)


def parse_without_data(words):
    """Parse a command line that may name data that are not here."""
    try:
        parse(words)
    except click.BadParameter as error:
        if "does not exist" not in error.message:
            raise


def run(words):
    commands.main(args=list(words), prog_name="featx", standalone_mode=False)


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
@pytest.mark.filterwarnings("ignore:The number of unique classes is greater than 50%")
def test_the_blocks_of_a_page_run_in_order(page, folder):
    names = {"__name__": "__main__"}
    for block in read_blocks(page):
        if block.language == "python":
            code = compile(block.text, page.name, "exec")
            if block.runs:
                exec(code, names)
        for words in block.commands if block.language == "bash" else []:
            if block.runs:
                run(words)
            else:
                parse_without_data(words)


def test_commands_that_are_only_parsed_are_parsed_strictly(folder):
    with pytest.raises(click.UsageError):
        parse(["extract", "chest_xray", "--colour", "blue"])
    with pytest.raises(click.UsageError):
        parse(["cache", "melt"])


def test_every_block_of_the_pages_is_read():
    text = "".join(page.read_text() for page in PAGES)
    found = [block for page in PAGES for block in read_blocks(page)]
    shown = sum(text.count(f"\n```{language}\n") for language in ("bash", "python", "diff"))
    assert len([b for b in found if b.language in ("bash", "python", "diff")]) == shown > 20


@pytest.mark.slow
def test_every_field_of_the_results_is_documented(folder):
    featx.benchmark("chest_xray", classifiers="logistic", patients="kermany", out="results")
    text = (ROOT / "docs/reference/files.md").read_text(encoding="utf-8")
    run_record = json.loads(Path("results/run.json").read_text(encoding="utf-8"))
    rows = json.loads(Path("results/results.json").read_text(encoding="utf-8"))
    fields = {re.sub("_(low|high)$", "", name) for row in rows for name in row} | set(run_record)
    assert not {name for name in fields if f"`{name}`" not in text}
