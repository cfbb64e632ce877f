"""One call: who may speak, what is played, what was heard, how long each step took. Neither Ray nor web nor WebRTC."""
