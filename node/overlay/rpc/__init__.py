"""Requests and responses over sealed datagrams, and the handlers of requests."""
