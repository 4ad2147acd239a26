"""The simulator itself is held to a standard: defects that are put into the node on purpose must be caught."""
