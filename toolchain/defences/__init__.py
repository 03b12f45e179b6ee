"""Defences against adversarial inputs, each switched on in a training recipe."""
