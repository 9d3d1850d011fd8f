"""NDJSON: one flat object a line to columns."""
