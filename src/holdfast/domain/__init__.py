"""What a transaction means: values, outcomes, rules, an executable specification. Standard library only."""
