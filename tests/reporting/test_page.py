import base64
import hashlib
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser

import pytest

from featx.benchmarking.table import BenchmarkTable
from featx.errors import UsageError
from featx.reporting.checklist import fill_checklists
from featx.reporting.notes import Note
from featx.reporting.page import PAGE, report
from featx.reporting.records import BenchmarkRow
from featx.reporting.results_folder import read_results

from .conftest import Folder

VOID = {"meta", "link", "img", "input", "br", "hr", "wbr"}


class Tree(HTMLParser):
    """Checks that elements close in turn, and collects what tests ask for."""

    def __init__(self):
        super().__init__()
        self.open, self.elements, self.text = [], [], []

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open and self.open[-1] == tag, f"</{tag}> closes {self.open[-3:]}"
        self.open.pop()

    def handle_data(self, data):
        if self.open and self.open[-1] not in ("style", "script"):
            self.text.append(data)

    def all(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]


def parse(page):
    tree = Tree()
    tree.feed(page)
    assert tree.open == []
    return tree


def made(folder):
    return report(folder).read_text(encoding="utf-8")


def test_the_page_holds_every_part_and_names_it(folder):
    page = made(folder.write())
    tree = parse(page)
    text = " ".join(" ".join(tree.text).split())
    sections = [section["id"] for section in tree.all("section")]
    expected = "table figures training gallery images published provenance checklists"
    assert sections == expected.split()
    for words in (
        "SHORTCUT: histogram alone",
        "featx benchmark xrays --out results",
        "Unreadable, left out",
        "1 pair of pixel-identical images",
        "Published elsewhere, not measured here",
        "Not a medical device.",
        "Learning curve",
        "PNEUMONIA on elsewhere",
        "Decision curves",
        "What the operating point costs here",
        "TRIPOD+AI",
        "CLAIM 2024",
        "STARD-AI 2025",
        "for the authors",
        "labels: folder names; positive class: PNEUMONIA; patients: unknown",
        "passed over: 1 file of no use: 1 .webp",
    ):
        assert words in text, words
    row = folder.rows[0]
    assert f"{row['auc']:.3f}" in text
    assert len(tree.all("img")) == 2
    steps = [step.get("class") for step in tree.all("li")]
    flow = [step for step in steps if step in ("start", "excluded", "end")]
    assert flow == ["start", "excluded", "excluded", "end", "end"]
    assert report(folder.root).stat().st_size < 1_500_000
    # Tables and figures are named for screen readers.
    assert all(th.get("scope") in ("col", "row") for th in tree.all("th"))
    assert page.count("<table") == page.count("<caption>")
    assert all(image["alt"] for image in tree.all("img"))
    identifiers = [attributes["id"] for _, attributes in tree.elements if "id" in attributes]
    assert len(identifiers) == len(set(identifiers))
    drawings = [svg for svg in tree.all("svg") if svg.get("class") == "plot"]
    assert len(drawings) > 8
    for drawing in drawings:
        assert drawing["role"] == "img"
        assert set(drawing["aria-labelledby"].split()) <= set(identifiers)


def test_nothing_leaves_the_file_and_bytes_repeat(folder):
    page = made(folder.write())
    tree = parse(page)
    for tag, attributes in tree.elements:
        for name in ("src", "href", "xlink:href", "action", "data", "poster", "srcset"):
            address = attributes.get(name) or "#"
            assert address.startswith(("#", "data:image/jpeg;base64,")), (tag, address[:60])
    assert "@import" not in page and "url(" not in page
    (script,) = re.findall(r"<script>(.*?)</script>", page, re.S)
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]+)"', page)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src &#39;sha256-{digest}&#39;" in policy
    assert policy.startswith("default-src &#39;none&#39;")
    assert made(folder.root) == page


PARTS = ("run.json", "scores", "gallery", "baselines")


@pytest.mark.parametrize("gone", [*((part,) for part in PARTS), PARTS])
def test_missing_parts_are_left_out(folder, gone):
    root = folder.write()
    for name in gone:
        path = root / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    page = made(root)
    parse(page)
    assert ('<h2 id="h-gallery"' in page) == ("gallery" not in gone)
    assert ('class="panel"' in page) == ("scores" not in gone)


def test_a_folder_without_a_benchmark_is_refused(tmp_path):
    with pytest.raises(UsageError, match="not the results folder of a benchmark"):
        report(tmp_path)
    (tmp_path / "results.json").write_text("{")
    with pytest.raises(UsageError, match="is not JSON"):
        report(tmp_path)


EVIL = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>"


def test_hostile_names_are_only_text(tmp_path):
    folder = Folder(tmp_path / "results", class_names=("NORMAL", f"{EVIL}"))
    folder.names = [f"{EVIL}/{i}\udcff.png" for i in range(len(folder.names))]
    folder.add(EVIL, "svm", collapsed=True, collapse_reason=EVIL, auc_out_of_fold=0.9)
    folder.rows[0]["settings"] = {EVIL: EVIL}
    folder.picture(path=EVIL)
    step = {"step": EVIL, "images": 1, "patients": None, "classes": {EVIL: 1}}
    finding = {"kind": EVIL, "severity": EVIL, "count": 1, "text": EVIL, "examples": [EVIL]}
    inventory = {EVIL: {"where": EVIL, "counts": {}, "labels_from": EVIL, "remarks": [EVIL]}}
    changes = {
        "flow": [step],
        "inventory": inventory,
        "audit": {"findings": [finding]},
        "versions": {EVIL: EVIL},
    }
    root = folder.write(command=EVIL, notes=[EVIL], started=EVIL, **changes)
    tree = parse(made(root))
    assert len(tree.all("script")) == 1
    assert not [a for _, a in tree.elements if any(name.startswith("on") for name in a)]
    assert all(image["src"].startswith("data:") for image in tree.all("img"))
    assert EVIL in "".join(tree.text)


def test_more_than_two_classes(tmp_path):
    folder = Folder(tmp_path / "results", class_names=("BACTERIA", "NORMAL", "VIRUS"))
    folder.add("resnet50", "svm", auc_out_of_fold=0.9)
    folder.add("vgg16", "svm", auc_out_of_fold=0.8)
    page = made(folder.write())
    parse(page)
    assert page.count('class="panel"') == 3
    assert "Each class against the rest" in page
    assert "What the operating point costs" not in page


def test_many_models_are_drawn_in_part_and_the_rest_is_counted(tmp_path):
    folder = Folder(tmp_path / "results", n=24)
    for number in range(40):
        folder.add(f"net{number}", "svm", auc_out_of_fold=0.5 + number / 100)
    root = folder.write()
    page = made(root)
    assert "4 more models have scores" in page
    assert "Scores: net39, svm" in page, "the best by training patients is drawn"
    assert (root / PAGE).stat().st_size < 1_500_000


def test_no_tensorflow_and_no_images_are_needed(folder):
    root = folder.write()
    code = (
        "import sys; from featx.reporting.page import report; report(sys.argv[1]);"
        "print([m for m in ('tensorflow', 'keras', 'sklearn', 'xgboost') if m in sys.modules])"
    )
    command = [sys.executable, "-c", code, str(root)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    assert (root / PAGE).exists()


def test_checklists_never_guess(folder):
    tripod, claim, _stard = fill_checklists(read_results(folder.write()))
    assert (len(tripod.items), len(claim.items)) == (52, 44)
    answers = {item.item: item.answer for item in tripod.items}
    assert answers["17"] == answers["18a"] == ""
    assert "7 images" in answers["6b"] and "3 images" in answers["6b"]
    assert "100 images of 50 patients" in answers["20a"]
    assert "elsewhere" in answers["12d"]
    assert {item.item: item.answer for item in claim.items}["23"] == "featx 0.1.0, numpy 2.0"


def test_a_notebook_shows_the_table(folder):
    folder.add(EVIL, "svm", collapsed=True, collapse_reason=EVIL)
    rows = [BenchmarkRow.from_dict(row) for row in folder.rows]
    shown = BenchmarkTable(rows, [Note("text", {"text": EVIL})])._repr_html_()
    tree = parse(shown)
    assert {tag for tag, _ in tree.elements} & {"script", "img"} == set()
    assert len(tree.all("tr")) == 1 + len(folder.rows)
    assert f"{folder.rows[0]['auc']:.3f}" in shown and "COLLAPSED" in shown
