"""Kinds of cases: each changes a copy of sound input and names the command to run on it."""

import contextlib

from tests.classifiers.test_model_checks import tamper
from tests.fuzz.mutations import VALUES, change_file, copy, mutate, mutate_text

EXTRACT = ["--backbones", "efficientnet_lite0@64", "--views", "2", "--out", "new.h5"]


def caches(base, draw):
    (cache,) = copy(base, "cache")
    for _ in range(draw.choice([1, 2])):
        change_file(cache, draw)
    return ["extract", base / "xrays", *EXTRACT, "--cache", cache]


def matrices(base, draw):
    (path,) = copy(base, "m.h5")
    path.write_bytes(mutate(path.read_bytes(), draw))
    return draw.choice(
        [
            ["fit", path, "--classifiers", "naive_bayes", "--out", "models"],
            ["explore", path, "--out", "map.html"],
        ]
    )


def models(base, draw):
    (path,) = copy(base, f"models/{draw.choice(['svm', 'xgboost', 'logistic', 'knn'])}.skops")
    if draw.random() < 0.3:
        path.write_bytes(mutate(path.read_bytes(), draw))
    else:
        tamper(path, draw)
    return ["predict", path, base / "few", "--out", "p.csv", "--cache", base / "cache"]


def images(base, draw):
    (folder,) = copy(base, "few")
    change_file(folder, draw)
    return ["extract", folder, *EXTRACT, "--cache", "cache"]


def results(base, draw):
    (folder,) = copy(base, "results")
    change_file(folder, draw)
    return draw.choice(
        [
            ["report", folder],
            ["verify", folder],
            ["compare", folder, base / "results"],
            ["compare", base / "results", folder],
        ]
    )


def tables(base, draw):
    text = mutate_text((base / "table.csv").read_bytes(), draw)
    with open("table.csv", "wb") as file:  # noqa: PTH123
        file.write(text)
    words = ["extract", "table.csv", *EXTRACT, "--root", base, "--cache", base / "cache"]
    return words + ["--skip-problems"] * draw.randrange(2)


COMMANDS = [
    "extract few --views 1 --out new.h5 --patients (p\\d+)_ --jobs 1 --seed 3",
    "fit m.h5 --classifiers naive_bayes,logistic --out new --cv 2 --jobs 1",
    "predict models/logistic.skops few --out new.csv --views 1",
    "evaluate models/logistic.skops few --views 1",
    "accept models/logistic.skops few --labels few --out new.json --level 0.9 --views 1",
    "explore m.h5 --out new.html",
    "compare results results",
    "report results",
    "verify results few",
    "cache ls --cache cache",
    "cache verify --cache cache",
    "cache prune --cache cache --idle-days 3",
    "backbones --weights-dir few",
    "baselines --json",
    "doctor --cache cache",
]


def commands(base, draw):
    copy(base, "few", "m.h5", "models", "results", "cache")
    words = draw.choice(COMMANDS).split()
    for _ in range(draw.choice([1, 1, 2])):
        place = draw.randrange(1, len(words) + 1)
        match draw.randrange(4):
            case 0:
                words[place:place] = [draw.choice(VALUES)]
            case 1:
                del words[place - 1]
                words = words or ["extract"]
            case 2:
                words[place:place] = words[place - 1 : place]
            case _:
                words[place - 1] = draw.choice(VALUES)
    return words


KINDS = [caches, matrices, models, images, results, tables, commands]


def make_case(number, folder, base, draw):
    """Prepare a case in a folder; return its kind and words."""
    kind = KINDS[number % len(KINDS)]
    with contextlib.chdir(folder):
        return kind.__name__, [str(word) for word in kind(base, draw)]
