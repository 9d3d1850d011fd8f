"""Serves the TCP protocol: connections on one event loop."""
