"""How good samples are, on plain arrays of samples: no networks, no files."""
