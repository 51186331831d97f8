"""Requests and responses over sealed datagrams, and what each request means here."""
