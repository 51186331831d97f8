"""The sending half of an association: queue, fragments, flight, congestion control."""
