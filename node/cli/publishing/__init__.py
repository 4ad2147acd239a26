"""`comanda publish`: options and tables. What it does is in node/runtime/publishing, as for the page."""
