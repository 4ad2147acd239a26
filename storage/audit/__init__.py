"""Proof that the log is whole: the walk along the chain, and archives that carry it on."""
