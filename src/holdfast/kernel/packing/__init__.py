"""Columns to few bytes and back: what entries of a journal and pages of a state are made of."""
