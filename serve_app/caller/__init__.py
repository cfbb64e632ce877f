"""The calling side: a simulated caller over real WebRTC. Knows only the public interface."""
