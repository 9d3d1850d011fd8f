"""What an input is: bytes of CSV, or a table."""
