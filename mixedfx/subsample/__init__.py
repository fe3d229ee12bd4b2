"""Which rows stage 1 learns the covariances from.

Sampling bends variances. The covariance of a factor is read from a random sample of *its* levels with all
their rows, the other factors a nuisance (strategy ``"per-factor"``); random rows thin every level, which
shifts variances where the model is not quite true, and a dense core of active levels is no sample of the levels at all.
"""

from mixedfx.subsample.draw import Draw as Draw
from mixedfx.subsample.pilot import variance_ratios as variance_ratios
from mixedfx.subsample.settings import DEFAULT_ROWS as DEFAULT_ROWS
from mixedfx.subsample.settings import ENOUGH_LEVELS as ENOUGH_LEVELS
from mixedfx.subsample.settings import STRATEGIES as STRATEGIES
from mixedfx.subsample.settings import Subsample as Subsample
