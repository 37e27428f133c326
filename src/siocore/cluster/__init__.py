"""Several servers that serve one application: the adapters, without I/O."""
