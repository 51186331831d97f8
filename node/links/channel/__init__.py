"""The data channel of a link: our own SCTP, or aiortc's."""
