"""Convolutional networks trained on the images themselves: what the frozen road has to beat."""
