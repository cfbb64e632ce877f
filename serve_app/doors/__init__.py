"""How a caller gets in: each door turns one kind of line into a `CallPort`."""
