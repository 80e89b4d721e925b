"""Checks of a data set: leakage, duplicates, label issues."""
