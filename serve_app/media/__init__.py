"""Bytes and arrays of the caller's line: packet order, Opus, loudness. No asyncio, no sockets."""
