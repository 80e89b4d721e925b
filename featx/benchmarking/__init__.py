"""The benchmark: backbones x classifiers beside baselines, on one protocol."""
