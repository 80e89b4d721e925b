"""The fitted classifier: calibrated, with its operating point and provenance."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import numpy.typing as npt
from scipy.special import log_softmax, logit
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.pipeline import Pipeline
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted

from featx.audit.typicality import typicality
from featx.classifiers.calibration import Calibration, probabilities
from featx.classifiers.compatibility import check_features, check_matrix
from featx.classifiers.decision_scores import Scores, average_views, pipeline_scores
from featx.classifiers.validation import check_rows, check_rows_and_labels, own_settings
from featx.errors import UsageError
from featx.features.matrix import FeatureMatrix
from featx.features.recipe import feature_names
from featx.metrics.labels import check_of_rows
from featx.metrics.operating_point import Threshold, decide

# Fitting is imported where it begins, so that prediction does not load it.
if TYPE_CHECKING:
    from featx.classifiers.config import FitConfig
    from featx.classifiers.predictions import Predictions
    from featx.classifiers.units import UnitRule


class FeatureClassifier(ClassifierMixin, BaseEstimator):
    """Fit a class-weighted classifier to features, its settings searched by patient.

    An ordinary scikit-learn classifier. `fit_matrix` and `predict_images` work on a
    `FeatureMatrix`, with its images, views and patients; `fit` and `predict` work on arrays, where
    each row is an image of its own patient by default. `featx.fit` is the shortest way to one.

    Parameters
    ----------
    classifier : str, default="svm"
        Name from `featx.list_classifiers`.
    cv, operating_point, calibration, random_state, n_jobs, search_rows, memory
        Settings with the defaults shown, as in `featx.FitConfig`.

    Attributes
    ----------
    classes_ : ndarray, shape (n_classes,)
        Class names; of two, the last is the positive one.
    n_features_in_ : int
        Number of features.
    feature_names_in_ : ndarray of str, shape (n_features,)
        Names of the columns, if it was fitted to a matrix or a frame. Scikit-learn then refuses
        frames with other columns, and warns (UserWarning) of arrays, whose network is unknown.
    pipeline_ : Pipeline
        Scaling, PCA where useful, and the classifier, fitted on all training rows.
    calibration_ : Calibration
        Map from scores to log-odds.
    threshold_ : float, tuple of float or None
        Probability from which `predict` returns the positive class. With more than two classes,
        one cutoff per class (`featx.metrics.operating_point.decide`), or None for the most
        probable class.
    best_params_ : dict
        Chosen settings of the pipeline's last step.
    recipes_ : tuple of dict
        Recipes of the features it was fitted on; empty after `fit`.
    out_of_fold_ : ndarray of float64, shape (n_images, n_classes)
        Probabilities of the training images, each by a fit and a calibration without its fold.
    out_of_fold_scores_ : ndarray of float64, shape (n_images,) or (n_images, n_classes)
        Scores of these images before calibration. AUC out of fold ranks them by the calibration of
        the model, as of any other image: each fold's own calibration would mix up their order.
    out_of_fold_labels_ : ndarray of int64, shape (n_images,)
        Class codes of these images.
    out_of_fold_images_ : ndarray, shape (n_images,)
        SHA-256 of these images (`fit_matrix`), or names as given to `fit`; no names of files.
    out_of_fold_patients_ : ndarray of int64, shape (n_images,)
        Number of the patient of each of these images, without names; models of an older featx have
        none.
    membership_ : dict
        Short hashes of the training images, and of their patients where known, by which
        `featx.predict` and `featx.evaluate` recognize them; None after `fit`.
    typicality_ : dict or None
        Mean, main directions and distances of training images in feature space; None after `fit`.
    provenance_ : dict
        Versions, counts, digest of the training matrix, candidates with their out-of-fold AUC.
    unit_ : UnitRule or None
        Rule for decisions by patient or study, from a benchmark with ``unit``.

    Examples
    --------
    >>> generator = np.random.default_rng(0)
    >>> y = np.repeat(["NORMAL", "PNEUMONIA"], 40)
    >>> X = generator.normal(size=(80, 6)) + 2 * (y == "PNEUMONIA")[:, None]
    >>> model = FeatureClassifier("logistic", n_jobs=1).fit(X, y)
    >>> model
    FeatureClassifier('logistic', classes=['NORMAL', 'PNEUMONIA'], features=6, threshold=0.440)
    >>> model.predict([[2] * 6, [0] * 6]).tolist()
    ['PNEUMONIA', 'NORMAL']
    """

    # With metadata routing on, these are routed without a request.
    __metadata_request__fit: ClassVar[dict[str, bool]] = {"images": True, "patients": True}
    _weights_places: tuple[Path, ...] = ()  # of a loaded model's tuned networks; not saved

    classes_: npt.NDArray
    pipeline_: Pipeline
    calibration_: Calibration
    threshold_: Threshold
    best_params_: dict[str, Any]
    recipes_: tuple[dict[str, Any], ...]
    out_of_fold_: Scores
    out_of_fold_scores_: Scores
    out_of_fold_labels_: npt.NDArray[np.int64]
    out_of_fold_images_: npt.NDArray
    out_of_fold_patients_: npt.NDArray[np.int64]
    membership_: dict[str, Any] | None
    typicality_: dict[str, npt.NDArray] | None
    provenance_: dict[str, Any]
    unit_: UnitRule | None = None

    def __init__(
        self,
        classifier: str = "svm",
        *,
        cv: int = 5,
        operating_point: str | float = "youden",
        calibration: str = "sigmoid",
        random_state: int = 0,
        n_jobs: int | None = None,
        search_rows: int = 6000,
        memory: str | int | None = None,
    ) -> None:
        self.classifier = classifier
        self.cv = cv
        self.operating_point = operating_point
        self.calibration = calibration
        self.random_state = random_state
        self.n_jobs = n_jobs
        self.search_rows = search_rows
        self.memory = memory

    # Names of a matrix follow from its recipes, so files need not hold them.
    def __getstate__(self) -> dict[str, Any]:
        state = dict(super().__getstate__())
        state.pop("_networks", None)  # of earlier predictions
        if state.get("recipes_"):
            state.pop("feature_names_in_", None)
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        if state.get("recipes_"):
            self._name_features()

    def _name_features(self) -> None:
        names = feature_names(self.recipes_, self.n_features_in_)
        self.feature_names_in_ = np.array(names, dtype=object)

    @classmethod
    def from_config(cls, config: FitConfig) -> FeatureClassifier:
        """Return an unfitted classifier with the settings of a config."""
        return cls(**config.to_dict())

    def __repr__(self, N_CHAR_MAX: int = 700) -> str:
        if not hasattr(self, "pipeline_"):
            return super().__repr__(N_CHAR_MAX)
        one = isinstance(self.threshold_, float)
        threshold = f", threshold={self.threshold_:.3f}" if one else ""
        return (
            f"FeatureClassifier({self.classifier!r}, classes={self.classes_.tolist()}, "
            f"features={self.n_features_in_}{threshold})"
        )

    def fit(self, X: Any, y: Any, *, images: Any = None, patients: Any = None) -> FeatureClassifier:
        """Fit to an array of features.

        Parameters
        ----------
        X : array-like, shape (n_rows, n_features)
            Finite features.
        y : array-like, shape (n_rows,)
            Class of each row's image.
        images : array-like, shape (n_rows,), optional
            Image of each row; by default each row is an image.
        patients : array-like, shape (n_rows,), optional
            Patient of each row; by default each image has its own patient.

        Returns
        -------
        FeatureClassifier
            Itself.

        Raises
        ------
        UsageError
            If images or patients are missing, or views of one image differ in label or patient.
        """
        from featx.classifiers.fitting import fit_rows
        from featx.classifiers.training_set import TrainingSet

        X, y = check_rows_and_labels(self, X, y)
        check_classification_targets(y)
        images = np.arange(len(X)) if images is None else check_of_rows("images", images, len(X))
        names, first, image = np.unique(images, return_index=True, return_inverse=True)
        groups = image if patients is None else check_of_rows("patients", patients, len(X))
        for what, of_row in (("label", y), ("patient", groups)):
            if not np.array_equal(of_row, of_row[first][image]):
                raise UsageError(f"views of one image differ in their {what}; give each image one")
        classes, labels = np.unique(y[first], return_inverse=True)
        with own_settings():
            kept = fit_rows(self, TrainingSet(X, image, labels, groups[first], classes))
        self.recipes_ = ()
        self.membership_ = self.typicality_ = None
        if patients is None:
            self.provenance_["patients"] = None
        self.out_of_fold_images_ = names[kept]
        return self

    def fit_matrix(self, matrix: FeatureMatrix) -> FeatureClassifier:
        """Fit to the labeled images of a matrix outside its test split.

        Parameters
        ----------
        matrix : FeatureMatrix
            Images without a label and images of split ``"test"`` are not used.

        Returns
        -------
        FeatureClassifier
            Itself.

        Raises
        ------
        UsageError
            If no image is left, a class has too few patients, or a feature is not finite.
        """
        from featx.classifiers.fitting import fit_labeled

        with own_settings():
            fit_labeled(self, matrix)
        return self

    @own_settings()
    def _logits(self, X: Any) -> Scores:
        check_is_fitted(self)
        return self.calibration_.logits(self._scores(check_rows(self, X)))

    def _scores(self, X: Any, image: Any = None, n_images: int = 0) -> Scores:
        """Return scores of rows before calibration, or of images, each the mean of its rows."""
        scores = pipeline_scores(self.pipeline_, X)
        return scores if image is None else average_views(scores, image, n_images)

    def decision_function(self, X: Any) -> Scores:
        """Return calibrated log-odds relative to the operating point.

        Parameters
        ----------
        X : array-like, shape (n_rows, n_features)
            Features.

        Returns
        -------
        ndarray of float64, shape (n_rows,) or (n_rows, n_classes)
            With two classes, above 0 where `predict` returns the positive one; with more,
            logarithms of probabilities over cutoffs, of which the greatest is predicted.
        """
        logits = self._logits(X)
        if self.threshold_ is None:
            return log_softmax(logits, axis=1)
        if isinstance(self.threshold_, tuple):
            return log_softmax(logits, axis=1) - np.log(self.threshold_)
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
        """Return the predicted class of each row at the operating point.

        Parameters
        ----------
        X : array-like, shape (n_rows, n_features)
            Features.

        Returns
        -------
        ndarray, shape (n_rows,)
            Values of `classes_`.
        """
        return self.decide(self.predict_proba(X))

    def decide(self, probability: npt.ArrayLike) -> npt.NDArray:
        """Return the classes that probabilities predict at the operating point.

        Parameters
        ----------
        probability : array-like of float, shape (n, n_classes)
            As returned by `predict_proba` or `predict_images`.

        Returns
        -------
        ndarray, shape (n,)
            Values of `classes_`.
        """
        check_is_fitted(self)
        return self.classes_[decide(probability, self.threshold_)]

    @own_settings()
    def predict_images(self, matrix: FeatureMatrix, *, allow_other_recipe: bool = False) -> Scores:
        """Return calibrated probabilities of images; scores are averaged over views first.

        Parameters
        ----------
        matrix : FeatureMatrix
            Features of images, labeled or not.
        allow_other_recipe : bool, default=False
            Whether to accept features of another recipe with the same number of features.

        Returns
        -------
        ndarray of float64, shape (n_images, n_classes)
            Rows sum to 1.

        Raises
        ------
        UsageError
            If the features have another recipe, or one is not finite.
        """
        check_is_fitted(self)
        check_matrix(self, matrix, allow_other_recipe=allow_other_recipe)
        scores = self._scores(matrix.X, matrix.image, matrix.n_images)
        return probabilities(self.calibration_.logits(scores))

    def typicality(self, matrix: FeatureMatrix) -> npt.NDArray[np.float64] | None:
        """Return how typical images are of the training images.

        Parameters
        ----------
        matrix : FeatureMatrix
            Features of images, labeled or not.

        Returns
        -------
        ndarray of float64, shape (n_images,), or None
            Proportion of training patients at least as far away in feature space
            (`featx.audit.typicality`); None for a model fitted to an array or by an older featx.
        """
        check_is_fitted(self)
        check_features(self.n_features_in_, self.recipes_, matrix)
        return None if self.typicality_ is None else typicality(self.typicality_, matrix)

    def predict_files(self, images: Any, **settings: Any) -> Predictions:
        """Extract features of images as in training, and classify them.

        The model keeps the networks in memory, so that later calls do not load them again. Several
        threads may call it at once; the numbers are those of one thread.

        Parameters
        ----------
        images : path-like, sequence of path-like, data frame, arrays or ImageDataset
            Images in any form; labels are not needed.
        **settings
            As for `featx.predict`: ``views``, ``weights_dir``, ``cache``, ``engine``, ...

        Returns
        -------
        Predictions
        """
        from featx.classifiers.inference import predict

        return predict(self, images, **settings)

    def save(self, path: str | Path) -> None:
        """Write the fitted model as one ``.skops`` file, which `featx.load_model` reads.

        Parameters
        ----------
        path : path-like
            File to write, whole or not at all.
        """
        from featx.classifiers.model_file import save_model

        save_model(self, path)
