"""`comanda export`, and what of it `comanda import` reads back."""
