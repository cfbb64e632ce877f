"""The models themselves, one file an engine. They know arrays and text; they never import Ray."""
