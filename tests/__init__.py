"""Tests of featx, laid out as the package is."""

import os

# Workers of pytest-xdist share the cores; libraries that each take all of them slow each other.
if "PYTEST_XDIST_WORKER" in os.environ:
    for _name in ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"):
        os.environ.setdefault(_name, "1")
