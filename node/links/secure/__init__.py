"""DTLS of a link: certificate, handshake and application records."""
