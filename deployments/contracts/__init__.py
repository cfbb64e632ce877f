"""Floor 1: the words every part shares. Dataclasses, Protocols and errors; no Ray, no web, no models."""
