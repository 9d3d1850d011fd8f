"""Tests of the client: a package, so that they share helpers."""
