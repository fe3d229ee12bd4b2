"""Benchmarks of mixedfx against other libraries: time, memory and the objective reached, side by side."""
