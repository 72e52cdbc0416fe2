"""Text to speech in child processes, cached on disk."""
