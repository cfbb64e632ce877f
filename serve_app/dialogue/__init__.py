"""What to say: a transcript goes in, the steps of an answer come out. Knows nothing of audio, Ray or the web."""
