"""Resident entities: documents, views, what a write does to them, and what it changes on a screen."""
