"""The fold and its data: accounts, records, an index, images."""
