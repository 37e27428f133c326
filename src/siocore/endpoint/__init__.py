"""The endpoints: connections, sessions, sockets and timers put together. Still no I/O and no clock."""
