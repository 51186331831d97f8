"""Records in the DHT: read, stored, published again, and this node's own."""
