"""The receiving half of an association: dispatch, TSNs and SACKs, reassembly."""
