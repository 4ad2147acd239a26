"""Who wins and what is a conflict: pure functions of an entity's records and its entity type's policy."""
