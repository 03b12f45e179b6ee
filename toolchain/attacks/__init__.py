"""Attacks on spiking networks: gradient estimators × optimisers × victims, and what they are
allowed to change.

``batteries.battery`` names the attacks, ``registry.run`` runs one; ``victims`` are what they run
on; ``base`` says what every attack is given and returns.
"""
