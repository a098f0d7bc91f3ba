from __future__ import annotations

import pytest

from tests.lowering.builder import ProgramBuilder


@pytest.fixture
def programs() -> ProgramBuilder:
    """An empty hand-written program."""
    return ProgramBuilder()
