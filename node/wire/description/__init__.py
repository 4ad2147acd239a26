"""The protocol as documents for programs, made from what the node reads and writes by.

messages.py (attrs classes), outgoing.py (signatures) -> schemas -> AsyncAPI
node/rights.py (HTTP) -> OpenAPI
"""
