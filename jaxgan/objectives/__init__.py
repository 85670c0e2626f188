"""The mathematics of the game: pure functions on arrays."""
