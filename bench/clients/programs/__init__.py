"""The clients that are measured, the server of all of them, and what the Python ones share."""
