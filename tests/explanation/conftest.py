from tests.benchmarking.conftest import quick

__all__ = ["quick"]
