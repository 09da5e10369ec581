"""How plans that hypothesis draws are played: they take as long as they take, on a busy machine."""

from __future__ import annotations

from typing import Final

from hypothesis import HealthCheck, settings

__all__ = ["PLAYED"]

PLAYED: Final = settings(deadline=None, suppress_health_check=list(HealthCheck), print_blob=True)
