"""The servers that are measured, two of a kind at a time."""
