"""The fold, and what it keeps: accounts, records, an index, images."""
