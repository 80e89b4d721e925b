# %% [markdown]
# # From a folder of chest X-rays to a table
#
# Runs as a script, or cell by cell where `# %%` marks cells (VS Code, Spyder, Jupytext). It draws
# synthetic radiographs, whose figures say nothing of patients; for images of your own, change the
# next cell. A few hundred X-rays take minutes on a laptop, thousands half an hour; the cache then
# answers at once.

# %%
from pathlib import Path
from tempfile import mkdtemp

import featx

IMAGES: Path | None = None  # your own: a folder with one sub-folder a class
PATIENTS: str | None = None  # whose image it is, such as r"(person\d+)_" or "kermany"
OUT = Path(mkdtemp(prefix="featx-example-"))  # for everything that is written here

# %%
if IMAGES is None:
    from featx.datasets.synthetic import PHANTOM_PATIENT_PATTERN, make_phantoms

    IMAGES, PATIENTS = OUT / "images", PHANTOM_PATIENT_PATTERN
    make_phantoms(IMAGES, patients=60, images_per_patient=(1, 2), size=160)

images = featx.ImageDataset.open(IMAGES, PATIENTS)
print(images)

# %% [markdown]
# ## Hold patients out
#
# No patient stands on both sides.

# %%
from featx.datasets.splitting import hold_out

kept, aside = hold_out(images.labels, images.patients, test_size=0.3, random_state=0)
train, test = images.select(kept), images.select(aside)
assert not set(train.patients) & set(test.patients)

# %% [markdown]
# ## Extract, fit, predict
#
# Every view of every image is embedded once, by a frozen network. The classifier, its settings and
# its operating point are chosen by patient, on training images.

# %%
settings = {"backbones": "efficientnet_lite0", "cache": OUT / "cache"}
matrix = featx.extract(train, augmentation="radiograph", views=2, **settings)
model = featx.fit(matrix, "logistic")
print(matrix, model.best_params_, f"threshold {model.threshold_:.3f}", sep="\n")

# %%
from sklearn.metrics import roc_auc_score

rows = featx.extract(test, augmentation="none", views=1, **settings)
probabilities = model.predict_proba(rows.X)[:, 1]
print(
    f"AUC on {len(test)} images of held-out patients: "
    f"{roc_auc_score(test.labels, probabilities):.3f}"
)

# %% [markdown]
# ## Within scikit-learn
#
# `FeatureExtractor` is a transformer; what it has embedded comes from the cache, also in folds and
# grids. `groups` keeps each patient in one fold.

# %%
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

pipeline = make_pipeline(
    featx.FeatureExtractor(**settings),
    StandardScaler(),
    LogisticRegression(C=0.01, max_iter=1000, class_weight="balanced"),
)
scores = cross_val_score(
    pipeline,
    train,
    train.labels,
    groups=train.patients,
    cv=StratifiedGroupKFold(3),
    scoring="roc_auc",
)
print(f"Cross-validated by patient: AUC {scores.mean():.3f} (SD {scores.std():.3f})")

# %% [markdown]
# ## The table
#
# The whole protocol at once; in a notebook the last line shows the table.
# `featx benchmark` does the same, and `report.html` beside the table is the page to read.

# %%
table = featx.benchmark(
    images,
    backbones=["efficientnet_lite0"],
    classifiers=["logistic", "naive_bayes"],
    views=2,
    test_size=0.3,
    controls=False,
    learning_curve=False,
    cache=OUT / "cache",
    out=OUT / "results",
)
print(table.to_markdown())
print(f"Everything is in {OUT}")
table
