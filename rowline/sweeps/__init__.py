"""Sweeps: many runs over a space of design points, kept in a study."""
