"""What a classifier is worth, how sure that is, and whether another one is better."""
