"""Speeds, measured: `make bench`. Each benchmark prints a ratio, for a machine's speed is its own."""
