"""Defects of what nobody may take back: what is paid goes back, or goes, by one of the ways in."""

from __future__ import annotations

from tests.simulation.slips import defect

PAID = (
    defect(
        "deletion-over-paid",
        "a deletion that had not seen that an order was paid hides it",
        ("strategies.guard:overruling", "    return live", "    return []"),
    ),
    defect(
        "anybody-unpays",
        "a lower status replaces a higher one, whoever writes it",
        (
            "strategies.kinds.progress:Progress.holds",
            "terminal_type not in self.declared.lower and",
            "not terminal_type and",
        ),
    ),
)
