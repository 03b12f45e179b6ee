"""What a person does: train, attack, compare, report."""
