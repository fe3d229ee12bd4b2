"""The krylov engine: likelihoods of all rows without any dense matrix, from random probes and conjugate gradients."""
