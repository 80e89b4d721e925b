"""Frozen convolutional networks: their records, weights and engines."""
