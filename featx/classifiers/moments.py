"""Scaling and compression fitted from sums over rows, so that rows need never be in memory."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
from scipy.linalg import eigh
from scipy.linalg.blas import dsyrk
from sklearn.decomposition import PCA
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

__all__ = ["Moments"]


class Moments:
    """Number, sums and sums of products of rows: all that scaling and PCA need to know of them.

    Sums of some rows less those of a part of them are the sums of the others, so that one reading
    serves every fold.

    Parameters
    ----------
    center : ndarray of float64, shape (n_features,)
        A point among the rows, taken off before squaring so that digits are kept; the same
        wherever sums are added or subtracted.

    Attributes
    ----------
    sums : ndarray of float64, shape (n_features,)
        Sum of ``row - center``.
    products : ndarray of float64, shape (n_features, n_features)
        Sum of the products of its entries with each other; only the upper triangle is filled.

    References
    ----------
    .. [1] T. F. Chan, G. H. Golub, R. J. LeVeque (1983), "Algorithms for computing the sample
       variance", The American Statistician 37(3), 242-247, doi 10.1080/00031305.1983.10483115.

    Examples
    --------
    >>> rows = np.array([[1.0, 0.0], [3.0, 0.0], [5.0, 1.0], [7.0, 1.0]])
    >>> moments = Moments(rows[0])
    >>> moments.add(rows)
    >>> moments.compression(1)["scale"].mean_.tolist()
    [4.0, 0.5]
    """

    def __init__(self, center: npt.NDArray[np.float64]) -> None:
        self.center = center
        self.count = 0
        self.sums = np.zeros(len(center))
        self.products = np.zeros((len(center), len(center)), order="F")

    def add(self, rows: npt.NDArray) -> None:
        """Take rows into account.

        Parameters
        ----------
        rows : ndarray, shape (n, n_features)
            Not seen before.
        """
        shifted = rows - self.center
        self.count += len(rows)
        self.sums += shifted.sum(axis=0)
        self.products = dsyrk(1.0, shifted.T, beta=1.0, c=self.products, overwrite_c=True)

    @classmethod
    def total(cls, parts: Iterable[Moments]) -> Moments:
        """Return the sums over all rows of several sets without a common row."""
        first, *others = parts
        whole = cls(first.center)
        for part in (first, *others):
            whole.count += part.count
            whole.sums += part.sums
            whole.products += part.products
        return whole

    def without(self, part: Moments) -> Moments:
        """Return the sums over the rows that are not in a part of these."""
        rest = Moments(self.center)
        rest.count = self.count - part.count
        rest.sums = self.sums - part.sums
        np.subtract(self.products, part.products, out=rest.products)
        return rest

    def compression(self, components: int) -> Pipeline:
        """Return scaling and PCA as scikit-learn would fit them to the rows, up to rounding."""
        mean = self.sums / self.count
        products = self.products / self.count
        products -= np.triu(np.outer(mean, mean))
        variance = np.maximum(np.diagonal(products), 0)
        # A column whose variance is rounding is constant, and is left as it is.
        epsilon = np.finfo(np.float64).eps
        location = mean + self.center
        rounding = self.count * epsilon * variance + (self.count * location * epsilon) ** 2
        scale = np.where(variance <= rounding, 1.0, np.sqrt(variance))
        products /= scale
        products /= scale[:, None]
        products *= self.count / (self.count - 1)
        return Pipeline(
            [
                ("scale", self._scaler(location, variance, scale)),
                ("compress", self._pca(products, components)),
            ]
        )

    def _scaler(
        self,
        mean: npt.NDArray[np.float64],
        variance: npt.NDArray[np.float64],
        scale: npt.NDArray[np.float64],
    ) -> StandardScaler:
        scaler = StandardScaler()
        scaler.mean_, scaler.var_, scaler.scale_ = mean, variance, scale
        scaler.n_samples_seen_ = np.int64(self.count)
        scaler.n_features_in_ = len(mean)
        return scaler

    def _pca(self, covariance: npt.NDArray[np.float64], components: int) -> PCA:
        features = len(covariance)
        total = float(np.trace(covariance))
        variances, vectors = eigh(
            covariance,
            lower=False,
            overwrite_a=True,
            check_finite=False,
            subset_by_index=(features - components, features - 1),
        )
        variances, directions = np.maximum(variances[::-1], 0), vectors.T[::-1]
        # The largest weight of a direction is positive, as scikit-learn has it.
        largest = np.abs(directions).argmax(axis=1)
        directions = directions * np.sign(directions[np.arange(components), largest])[:, None]
        pca = PCA(components, svd_solver="covariance_eigh")
        pca.n_features_in_, pca.n_samples_, pca.n_components_ = features, self.count, components
        pca.mean_ = np.zeros(features, dtype=np.float32)
        pca.components_ = np.ascontiguousarray(directions, dtype=np.float32)
        pca.explained_variance_ = variances
        pca.explained_variance_ratio_ = variances / total
        pca.singular_values_ = np.sqrt(variances * (self.count - 1))
        left = min(features, self.count) - components
        pca.noise_variance_ = (total - variances.sum()) / left if left > 0 else 0.0
        return pca
