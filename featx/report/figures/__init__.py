"""Figures of the page, as small SVG drawings that follow its colors."""
