"""What an input is: a table, or bytes of a format, one module each, with the registry that finds them."""
