"""How we reach the world. Foreign errors become ours here; who sends does not retry."""
