"""Check that a vocabulary or a model is sound."""
