"""Floor 2: every model behind Ray Serve, one file each, and the typed doors to them (`clients`)."""
