"""Run featx with ``python -m featx.cli``."""

from featx.cli import main

if __name__ == "__main__":
    main()
