"""Runs commands that it reads from a pipe, one a line, with a network that costs nothing.

Lines in: ``{"folder": ..., "words": [...]}``. Lines out: ``{"code": ..., "error": ...}``.
"""

import io
import json
import os
import sys
import warnings

from featx.cli import main
from featx.features.pipeline import ENGINES
from tests.features.worker import quick_engine


def serve():
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    warnings.simplefilter("ignore")
    with ENGINES.using(quick_engine):
        for line in sys.stdin:
            request = json.loads(line)
            os.chdir(request["folder"])
            sys.stdout, sys.stderr = io.TextIOWrapper(io.BytesIO()), io.StringIO()
            try:
                main(request["words"])
            except SystemExit as ending:
                code = ending.code
            error, sys.stderr = sys.stderr.getvalue(), sys.__stderr__
            answers.write(json.dumps({"code": code, "error": error[-3000:]}) + "\n")
            answers.flush()


if __name__ == "__main__":
    serve()
