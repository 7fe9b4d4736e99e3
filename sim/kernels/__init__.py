"""Numba only: integers and arrays in, integers and arrays out."""
