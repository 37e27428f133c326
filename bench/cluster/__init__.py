"""What a message from one server of a cluster to a client of another costs each of the two."""
