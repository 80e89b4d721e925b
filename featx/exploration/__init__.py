"""Maps, neighbors, label issues and export of a feature matrix."""
