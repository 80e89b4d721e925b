"""Convolutional networks trained on the images themselves: the reference for frozen features."""
