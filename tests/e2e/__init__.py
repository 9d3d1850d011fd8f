"""The command as a process of its own, as people and programs use it."""
