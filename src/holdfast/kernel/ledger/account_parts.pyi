# The compiled functions in here are called by other compiled modules only; Python sees none of them.
