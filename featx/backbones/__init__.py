"""Frozen convolutional networks: what they are, where their weights lie, how they run."""
