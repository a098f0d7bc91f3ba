"""Hypothesis: every operator on arrays full of special values, bit for bit as its slow twin; lanes and order of lanes
change nothing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pto_sim.numerics.element_types import STORAGE, is_float
from pto_sim.numerics.optable import OP_TABLE, OpRow
from pto_sim.numerics.profiles import PROFILES
from tests.numerics.special_values import assert_same_bits, specials
from tests.numerics.test_optable import _attrs, _legal, _types
from tests.numerics.test_strict_twins import TWINS

