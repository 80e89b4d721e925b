# %% [markdown]
# # From a folder of chest X-rays to a table
#
# Runs as a script, or cell by cell where `# %%` marks cells. It draws synthetic radiographs, whose
# figures say nothing about patients. A few hundred X-rays take minutes on a laptop, thousands half
# an hour; later runs read the cache.

# %%
from pathlib import Path
from tempfile import mkdtemp

import featx

IMAGES: Path | None = None  # your own: a folder with one sub-folder per class
PATIENTS: str | None = None  # the patient in a file name, such as r"(person\d+)_" or "kermany"
OUT = Path(mkdtemp(prefix="featx-example-"))  # everything is written here

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
# No patient is in both the training and the test set.

# %%
from featx.datasets.splitting import hold_out

training, held_out = hold_out(images.labels, images.patients, test_size=0.3, random_state=0)
train, test = images.select(training), images.select(held_out)
assert not set(train.patients) & set(test.patients)

# %% [markdown]
# ## Extract, fit, predict
#
# Every view of every image is embedded once, by a frozen network. The classifier's settings and its
# operating point are chosen on training images, in folds grouped by patient.

# %%
settings = {"backbones": "efficientnet_lite0", "cache": OUT / "cache"}
matrix = featx.extract(train, augmentation="radiograph", views=2, **settings)
model = featx.fit(matrix, "logistic")
print(matrix, model.best_params_, f"threshold {model.threshold_:.3f}", sep="\n")

# %%
predictions = featx.predict(model, test, cache=OUT / "cache")
scores = featx.evaluate(model, test, cache=OUT / "cache")
print(predictions)
print(f"AUC on {len(test)} images of held-out patients: {scores.metrics['auc']}")

# %% [markdown]
# ## Within scikit-learn
#
# `FeatureExtractor` is a transformer whose features come from the cache, also in folds and grids.
# `groups` keeps the images of a patient in one fold.

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
aucs = cross_val_score(
    pipeline,
    train,
    train.labels,
    groups=train.patients,
    cv=StratifiedGroupKFold(3),
    scoring="roc_auc",
)
print(f"Cross-validated by patient: AUC {aucs.mean():.3f} (SD {aucs.std():.3f})")

# %% [markdown]
# ## The table
#
# The whole protocol at once, as `featx benchmark` runs it. Read `report.html` in the folder.

# %%
table = featx.benchmark(
    images,
    backbones="efficientnet_lite0",
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
