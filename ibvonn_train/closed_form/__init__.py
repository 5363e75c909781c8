"""Laws that are known in closed form, and laws with random weights."""
