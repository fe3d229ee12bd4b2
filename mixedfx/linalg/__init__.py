"""Linear algebra with Henderson's matrix C = D'WD + blockdiag(penalty, 0), D = [Z X], without statistics.

Both stages solve with C. The factor with most coefficients, the *eliminated* one, has a block-diagonal block and is
eliminated exactly; what remains is the Schur complement S on the *rest*: the other factors, then beta, then
thresholds where a model has them.

Vectors come in two parts: `e`, shape (J_e, q_e), for the eliminated factor, and `rest`, shape (n_rest,), which is
``[factor 1 (J_1 q_1, level by level) | factor 2 | ... | beta | thresholds]``. Where a function takes several
right-hand sides, they are columns. Coordinates are b, the coefficients themselves, in `kernels` and `operator`;
everything above them works in u, b = Lambda u, so that singular covariances need no special case.
"""
