"""`comanda demo`: a short service on a hub and three nodes, each a process of its own."""
