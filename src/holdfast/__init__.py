"""Holdfast: an exact, fast, embeddable payments engine."""
