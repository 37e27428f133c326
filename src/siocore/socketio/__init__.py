"""Socket.IO (protocol revision 5): clients, namespaces, sockets, rooms and acknowledgements. Knows no transport.

Spec: the Socket.IO protocol, revision 5.
"""
