"""The cache of feature rows."""
