"""The documented messages: what clients send (messages, codec) and what the node sends (outgoing). Pure."""
