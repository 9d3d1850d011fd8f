"""The engine: the kernel with its rules, policies and statistics, and accounts that can be read."""
