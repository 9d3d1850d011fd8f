"""Tables in and out through the Arrow C data interface, without an Arrow library."""
