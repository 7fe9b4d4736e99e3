"""One file a model family, and the registry of models by name."""
