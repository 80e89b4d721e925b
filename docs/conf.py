"""Sphinx settings. Nothing is fetched: no intersphinx, and all scripts come from the theme."""

from __future__ import annotations

import featx
import featx.cli  # registers the commands of the command line's reference

project = "featx"
author = "The featx maintainers"
release = version = featx.__version__
extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "numpydoc",
    "myst_parser",
    "sphinx_click",
]
templates_path = ["_templates"]
exclude_patterns = ["_build", "_templates"]

myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3
autosummary_generate = True
default_role = "autolink"
smartquotes = False
autodoc_typehints = "none"
autodoc_member_order = "bysource"
numpydoc_show_class_members = False
numpydoc_class_members_toctree = False

html_theme = "pydata_sphinx_theme"
html_title = "featx"
html_static_path = ["_static"]
html_css_files = ["wide.css"]
html_extra_path = ["llms.txt"]
html_show_sourcelink = False
html_copy_source = False
html_theme_options = {
    "navbar_align": "left",
    "show_prev_next": False,
    "show_toc_level": 2,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": [],
}
_WIDE = ["index", "installation", "tutorial", "results", "guarantees", "performance", "faq"]
html_sidebars = {page: [] for page in _WIDE}
copyright = "The featx maintainers; Apache-2.0"
