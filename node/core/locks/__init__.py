"""Leases: who holds which entity, and who grants it."""
