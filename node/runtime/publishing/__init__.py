"""A list of head office goes into the realms of its stores, by ordinary operations: for `comanda publish` and page.

list (node/lists) -> place (what a store shows; a plan) -> sending (operations) -> record (up to which row of its log)
     -> how far the store's nodes have confirmed that
"""
