"""One process that serves: listeners, connections, security, status, and its composition root."""
