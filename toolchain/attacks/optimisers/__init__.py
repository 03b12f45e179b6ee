"""How an attack climbs its goal inside the ball: one file for each optimiser."""
