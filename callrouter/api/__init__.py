"""The REST interfaces: the compatible one, the native one, metrics and health."""
