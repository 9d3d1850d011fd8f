"""The TCP server: ``holdfast serve``."""
