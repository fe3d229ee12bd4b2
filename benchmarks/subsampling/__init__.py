"""How far covariances learned on a subsample are from those of all rows, for each way of drawing it."""
