"""The fitted classifier: calibrated, with its operating point, and knowing where it comes from."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
from scipy.special import logit
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted

from featx.classifiers.calibration import METHODS, calibrate, log_probabilities, probabilities
from featx.classifiers.compatibility import check_features, check_finite, check_recipes
from featx.classifiers.memory_plan import MemoryPlan
from featx.classifiers.provenance import describe, environment, matrix_digest
from featx.classifiers.registry import get_classifier
from featx.classifiers.scores import FORMAT, Scores, average_views, one_vs_rest_auc
from featx.classifiers.search import pipeline_scores
from featx.classifiers.streaming import StreamedSearch
from featx.classifiers.training import TrainingSet
from featx.classifiers.validation import (
    check_of_rows,
    check_rows,
    check_rows_and_labels,
    own_settings,
)
from featx.errors import UsageError
from featx.features.matrix import FeatureMatrix
from featx.metrics.operating_point import OperatingPoint
from featx.runtime.progress import progress

__all__ = ["FeatureClassifier"]


class FeatureClassifier(ClassifierMixin, BaseEstimator):
    """A class-weighted classifier on features, its settings searched by patient.

    `fit_matrix` learns from a feature matrix and knows images, views and patients; `fit` is
    scikit-learn's way in, where each row is an image of its own patient unless told otherwise.

    Parameters
    ----------
    classifier : str, default="svm"
        Name of a classifier in the zoo.
    folds : int, default=5
        Cross-validation folds; fewer where the rarest class has fewer patients.
    operating_point : str or float, default="youden"
        How the threshold of two classes is chosen on out-of-fold probabilities: ``"youden"``,
        ``"f1"``, a probability, ``"sensitivity=0.95"``, ``"specificity=0.9"``, ``"cost=FN:FP"``.
    calibration : {"sigmoid", "isotonic", "none"}, default="sigmoid"
        How scores become probabilities.
    random_state : int, default=0
        Of folds and of everything random in the classifier.
    n_jobs : int, optional
        Fits at a time, one thread each; by default what ``joblib.parallel_config`` says, and
        outside it one a core. Results do not depend on it.
    search_rows : int, default=6000
        About how many training rows a fold uses while settings are searched. Views are left out
        first, then patients; chosen settings are refitted on all rows.

    Attributes
    ----------
    classes_ : ndarray, shape (n_classes,)
        Class names; of two, the last is the positive one.
    n_features_in_ : int
        Number of features.
    pipeline_ : Pipeline
        Scaling, where useful PCA, and the classifier, fitted on all training rows.
    calibration_ : Calibration
        From scores to log-odds.
    threshold_ : float or None
        Probability from which `predict` says the positive class; None for more than two
        classes, where the likeliest is said.
    best_parameters_ : dict
        Chosen settings of the pipeline's last step.
    recipes_ : tuple of dict
        Recipes of the features it was fitted on; empty after `fit`.
    out_of_fold_ : ndarray of float64, shape (n_images, n_classes)
        Calibrated probabilities of training images by fits that had not seen their patients.
    out_of_fold_labels_ : ndarray of int64, shape (n_images,)
        Their class codes.
    out_of_fold_images_ : ndarray, shape (n_images,)
        Which images: their SHA-256 (`fit_matrix`), or as given to `fit`. File names often hold
        a patient's identity, so they are not kept.
    provenance_ : dict
        Versions, counts, digest of the training matrix, candidates with their out-of-fold AUC.

    Examples
    --------
    >>> generator = np.random.default_rng(0)
    >>> y = np.repeat(["NORMAL", "PNEUMONIA"], 40)
    >>> X = generator.normal(size=(80, 6)) + 2 * (y == "PNEUMONIA")[:, None]
    >>> model = FeatureClassifier("logistic", n_jobs=1).fit(X, y)
    >>> model.predict([[2] * 6, [0] * 6]).tolist()
    ['PNEUMONIA', 'NORMAL']
    """

    # With metadata routing on, whoever passes patients need not ask for them to be heeded.
    __metadata_request__fit: ClassVar[dict[str, bool]] = {"images": True, "patients": True}

    def __init__(
        self,
        classifier: str = "svm",
        *,
        folds: int = 5,
        operating_point: str | float = "youden",
        calibration: str = "sigmoid",
        random_state: int = 0,
        n_jobs: int | None = None,
        search_rows: int = 6000,
    ) -> None:
        self.classifier = classifier
        self.folds = folds
        self.operating_point = operating_point
        self.calibration = calibration
        self.random_state = random_state
        self.n_jobs = n_jobs
        self.search_rows = search_rows

    def fit(self, X: Any, y: Any, *, images: Any = None, patients: Any = None) -> FeatureClassifier:
        """Learn from rows.

        Parameters
        ----------
        X : array-like, shape (n_rows, n_features)
            Finite features.
        y : array-like, shape (n_rows,)
            Class of each row's image.
        images : array-like, shape (n_rows,), optional
            Which image each row shows; by default each row is an image.
        patients : array-like, shape (n_rows,), optional
            Whose it is; by default each image has its own patient.

        Returns
        -------
        FeatureClassifier
            Itself.

        Raises
        ------
        UsageError
            If images or patients are missing, or views of one image differ in label or patient.
        """
        X, y = check_rows_and_labels(self, X, y)
        check_classification_targets(y)
        images = np.arange(len(X)) if images is None else check_of_rows("images", images, len(X))
        names, first, image = np.unique(images, return_index=True, return_inverse=True)
        owners = image if patients is None else check_of_rows("patients", patients, len(X))
        for what, of_row in (("label", y), ("patient", owners)):
            if not np.array_equal(of_row, of_row[first][image]):
                raise UsageError(f"views of one image differ in their {what}; they must not")
        classes, labels = np.unique(y[first], return_inverse=True)
        plan = MemoryPlan.make(X.nbytes, None, self.folds, self.n_jobs)
        self._learn(TrainingSet(X, image, labels, owners[first], classes), plan)
        self.recipes_: tuple[dict[str, Any], ...] = ()
        self.out_of_fold_images_ = names
        return self

    def fit_matrix(
        self, matrix: FeatureMatrix, *, memory: str | int | None = None
    ) -> FeatureClassifier:
        """Learn from the labeled images of a matrix, never from those of its test split.

        Parameters
        ----------
        matrix : FeatureMatrix
            Images with label -1 and images of split ``"test"`` are left aside.
        memory : str or int, optional
            What the process may take, such as ``"8GiB"``; by default what there is. A matrix that
            is too large for it is read block by block, with a message.

        Returns
        -------
        FeatureClassifier
            Itself.

        Raises
        ------
        UsageError
            If there is nothing to learn from, or a feature is not finite.
        """
        usable = np.flatnonzero((matrix.labels >= 0) & (matrix.splits != "test"))
        if not len(usable):
            raise UsageError(
                f"{matrix!r} has no labeled image outside its test split; give labeled images"
            )
        plan = MemoryPlan.make(matrix.X.nbytes, memory, self.folds, self.n_jobs)
        chosen = (matrix.lazily() if plan.fits == 0 else matrix).select_images(usable)
        check_finite(chosen)
        classes = np.array(matrix.class_names, dtype=np.str_)
        self.n_features_in_ = chosen.X.shape[1]
        training = TrainingSet(chosen.X, chosen.image, chosen.labels, chosen.patients, classes)
        self._learn(training, plan)
        self.recipes_ = matrix.recipes
        self.out_of_fold_images_ = np.array(chosen.digests, dtype=np.str_)
        self.provenance_["matrix_sha256"] = matrix_digest(chosen)
        return self

    @own_settings()
    def _learn(self, training: TrainingSet, plan: MemoryPlan) -> None:
        record = get_classifier(self.classifier)
        point = self._parsed_settings(len(training.classes))
        folds = training.folds(self.folds, self.random_state)
        search = plan.search(
            record, training, folds, self.random_state, self.search_rows, self.n_jobs
        )
        total = len(search.candidates()) * len(folds) + len(folds) + 1
        with progress(f"Fitting {record.name}", total=total, unit="fits") as advance:
            candidates = search.run(advance)
            best = max(candidates, key=lambda candidate: candidate.auc)
            self.pipeline_, scores = search.refit(best, advance)
        self.classes_ = training.classes
        self.best_parameters_ = best.parameters
        self.calibration_ = calibrate(self.calibration, scores, training.labels)
        self.out_of_fold_ = probabilities(self.calibration_.logits(scores))
        self.out_of_fold_labels_ = training.labels
        binary = len(self.classes_) == 2
        self.threshold_ = (
            point.threshold(training.labels == 1, self.out_of_fold_[:, 1]) if binary else None
        )
        settings = {name: value for name, value in self.get_params().items() if name != "n_jobs"}
        self.provenance_: dict[str, Any] = {
            **environment(),
            **settings,
            **describe(training),
            "folds": len(folds),
            "candidates": [{"parameters": c.parameters, "auc": c.auc} for c in candidates],
            "score_format": FORMAT,
            "auc_out_of_fold": one_vs_rest_auc(training.labels, scores),
            **(search.describe() if isinstance(search, StreamedSearch) else {}),
        }

    def _parsed_settings(self, n_classes: int) -> OperatingPoint:
        """Check what can be wrong before hours are spent."""
        point = OperatingPoint.parse(self.operating_point)
        neutral = (OperatingPoint("youden"), OperatingPoint("fixed", 0.5))
        if n_classes > 2 and point not in neutral:
            raise UsageError(
                f"operating point {self.operating_point!r} is for two classes, and there are "
                f"{n_classes}, of which the likeliest is taken; leave it out"
            )
        if self.calibration not in METHODS:
            raise UsageError(
                f"there is no calibration {self.calibration!r}; choose of {', '.join(METHODS)}"
            )
        if self.search_rows < 1:
            raise UsageError(f"a search on {self.search_rows} rows is none; give 1 or more")
        return point

    @own_settings()
    def _logits(self, X: Any) -> Scores:
        check_is_fitted(self)
        return self.calibration_.logits(pipeline_scores(self.pipeline_, check_rows(self, X)))

    def decision_function(self, X: Any) -> Scores:
        """Return how far rows are from the operating point, in calibrated log-odds.

        Parameters
        ----------
        X : array-like, shape (n_rows, n_features)
            Features.

        Returns
        -------
        ndarray of float64, shape (n_rows,) or (n_rows, n_classes)
            Two classes: above 0 where `predict` says the positive one. More: logarithms of
            probabilities.
        """
        logits = self._logits(X)
        if self.threshold_ is None:
            return log_probabilities(logits)
        return logits - logit(self.threshold_)

    def predict_proba(self, X: Any) -> Scores:
        """Return calibrated probabilities of rows.

        Parameters
        ----------
        X : array-like, shape (n_rows, n_features)
            Features.

        Returns
        -------
        ndarray of float64, shape (n_rows, n_classes)
            Rows sum to 1.
        """
        return probabilities(self._logits(X))

    def predict(self, X: Any) -> npt.NDArray:
        """Return the class of rows at the operating point.

        Parameters
        ----------
        X : array-like, shape (n_rows, n_features)
            Features.

        Returns
        -------
        ndarray, shape (n_rows,)
            Of `classes_`.
        """
        return self.decide(self.predict_proba(X))

    def decide(self, probability: npt.ArrayLike) -> npt.NDArray:
        """Return the classes that probabilities mean at the operating point.

        Parameters
        ----------
        probability : array-like of float, shape (n, n_classes)
            As `predict_proba` or `predict_images` gives them.

        Returns
        -------
        ndarray, shape (n,)
            Of `classes_`.
        """
        check_is_fitted(self)
        table = np.asarray(probability)
        if self.threshold_ is None:
            return self.classes_[table.argmax(axis=1)]
        return self.classes_[(table[:, 1] >= self.threshold_).astype(int)]

    @own_settings()
    def predict_images(self, matrix: FeatureMatrix, *, allow_other_recipe: bool = False) -> Scores:
        """Return calibrated probabilities of images: scores are averaged over views first.

        Parameters
        ----------
        matrix : FeatureMatrix
            Labeled or not.
        allow_other_recipe : bool, default=False
            Accept features of another recipe, as long as their number agrees.

        Returns
        -------
        ndarray of float64, shape (n_images, n_classes)
            Rows sum to 1.

        Raises
        ------
        UsageError
            If the features are not those that the model knows, or one is not finite.
        """
        check_is_fitted(self)
        check_features(self.n_features_in_, self.recipes_, matrix)
        if self.recipes_ and not allow_other_recipe:
            check_recipes(self.recipes_, matrix.recipes)
        check_finite(matrix)
        scores = pipeline_scores(self.pipeline_, matrix.X)
        images = average_views(scores, matrix.image, matrix.n_images)
        return probabilities(self.calibration_.logits(images))
