"""One question per file, the workloads in one place; ``python -m benchmarks`` answers all questions."""

import os

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
"""The repository: commands run in it, caches and results are below it."""
