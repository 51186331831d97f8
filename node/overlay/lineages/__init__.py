"""Records of lineages: read, polled, judged by what was seen, stored again, and renewed."""
