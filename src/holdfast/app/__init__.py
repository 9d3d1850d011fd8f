"""The edge: commands, servers and what they share. The only part that chooses adapters, prints and exits."""
