"""Small wrong changes to the package, each with the test that has to notice it."""
