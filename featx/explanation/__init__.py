"""Heat maps of decisions."""
