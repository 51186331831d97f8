"""Offers and answers over DHT messages: registrars, outgoing calls, and calls to this node."""
