"""Terminals that are connected: who they are, what they send, what they are answered."""
