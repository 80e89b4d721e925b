"""Maps, neighbors and label issues of a feature matrix."""
