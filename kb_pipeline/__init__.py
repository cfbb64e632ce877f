"""From a file to passages that can be found: load → chunk → embed → index."""
