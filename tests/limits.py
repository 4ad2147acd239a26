"""The limits of one message as a node has them that is told nothing else."""

from __future__ import annotations

from node.config.sections import LimitsSection
from node.wire.codec import CodecLimits

_LIMITS = LimitsSection()
LIMITS = CodecLimits(_LIMITS.json_depth, _LIMITS.bulk_items, _LIMITS.fields)
