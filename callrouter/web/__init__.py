"""Pages for people: the developer console and the storefront will live here; nothing is served yet."""
