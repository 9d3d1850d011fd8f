"""What a transaction means: values, outcomes, rules and their executable specification. Standard library only."""
