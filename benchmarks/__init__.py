"""Side-by-side measurements; ``python -m benchmarks`` runs all of them. Nothing here is a test, and
no test is timed."""
