"""Offers and answers over DHT messages: registrars, calls made and calls answered."""
