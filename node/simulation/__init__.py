"""Whole stores in one process, replayed from a seed: the real core, log and protocol on simulated machines."""
