"""Where in an image a decision came from."""
