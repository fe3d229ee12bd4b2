"""Plots of the comparison: each function returns a matplotlib Figure and touches no global state."""
