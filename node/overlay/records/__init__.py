"""Records in the DHT: reading, storing, republishing, and the records of this node."""
