"""Estimates, confidence intervals and paired tests of classifiers."""
