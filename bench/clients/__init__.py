"""Clients of Socket.IO, side by side: what an event costs the process that sends or receives it."""
