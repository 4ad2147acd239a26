"""Sockets: listening, HTTP/1.1, WebSocket, dialling."""
