"""CSV: bytes to columns, accounts to bytes."""
