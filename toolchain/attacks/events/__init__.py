"""Attacks on event data: few flips, shifted times, and their random floor."""
