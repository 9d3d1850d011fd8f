"""One question per file, the workloads in one place; ``python -m benchmarks`` answers them all."""

import os

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
"""The repository: commands run there, caches and results stand below it."""
