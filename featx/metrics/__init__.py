"""Metrics with intervals by patient, calibration, curves, and paired tests of classifiers."""
