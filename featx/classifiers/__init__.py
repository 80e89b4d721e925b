"""Class-weighted classical classifiers on feature matrices: search, calibration, safe files."""
