"""Inputs changed at random, given to the command line: errors are messages, never crashes."""
