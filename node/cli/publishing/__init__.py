"""`comanda publish`: a list of head office goes into the realms of its stores, by ordinary operations.

list -> as `comanda import` reads it -> a plan and operations for each store -> record (up to which row of its log)
     -> how far the store's nodes have confirmed that
"""
