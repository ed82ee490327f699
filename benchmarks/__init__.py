"""One file for each claim about speed or size, measured against a peer on the same work."""
