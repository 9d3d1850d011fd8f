"""The engine: the kernel under a set of rules, with policies, statistics and accounts that one can look at."""
