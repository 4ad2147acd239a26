"""The protocol as documents for programs."""
