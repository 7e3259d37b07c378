"""Analyze runs and recordings."""
