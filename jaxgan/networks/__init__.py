"""Generators and discriminators: one file a family, G and D side by side."""
