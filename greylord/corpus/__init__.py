"""From a folder of recordings to an Arrow corpus, and from the corpus to windows and batches."""
