"""SimPy only: what runs next."""
