"""Head office as several processes: each realm is owned by one of them, by a lease with a fencing token."""
