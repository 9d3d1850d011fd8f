"""Durable ledgers: a journal of decided rows, checkpoints of the state, and the stores that keep both."""
