"""A Socket.IO echo server on plain sockets and select, around the sans-I/O core."""

import select
import socket
import time

import siocore
from siocore.events import ConnectRequested, EventReceived


class SelectServer:
    def __init__(self, host, port):
        self.protocol = siocore.ServerProtocol()
        self.listener = socket.create_server((host, port))
        self.listener.setblocking(False)
        self.connections = {}  # socket → connection
        self.unsent = {}  # socket → bytes that the kernel did not take yet

    def turn(self):
        """Wait for something to happen, and do all that follows from it."""
        deadline = self.protocol.next_deadline()
        timeout = None if deadline is None else max(0, deadline - time.monotonic())
        readers = [sock for sock, connection in self.connections.items() if connection.wants_read]
        readable, writable, _ = select.select([self.listener, *readers], list(self.unsent), [], timeout)
        now = time.monotonic()
        for sock in readable:
            if sock is self.listener:
                accepted, peer = sock.accept()
                accepted.setblocking(False)
                connection = self.protocol.connection_made(peer, now=now)
                connection.transport = accepted
                self.connections[accepted] = connection
            else:
                self.read(sock, now)
        self.protocol.handle_timeout(now=now)
        while (event := self.protocol.next_event()) is not None:
            self.handle(event)
        for connection in self.protocol.take_ready():
            self.write(connection.transport, now)
        for sock in writable:
            self.write(sock, now)

    def read(self, sock, now):
        try:
            data = sock.recv(65536)
        except OSError:
            self.drop(sock, now)
            return
        if data:
            self.connections[sock].receive_data(data, now=now)
        else:
            self.connections[sock].receive_eof(now=now)

    def write(self, sock, now):
        if sock not in self.connections:
            return
        connection = self.connections[sock]
        data = self.unsent.pop(sock, b"") + connection.data_to_send()
        try:
            rest = data[sock.send(data) :] if data else b""
            if connection.closing and not rest:
                sock.shutdown(socket.SHUT_WR)
        except BlockingIOError:
            rest = data
        except OSError:
            self.drop(sock, now)
            return
        connection.unsent = len(rest)
        if rest:
            self.unsent[sock] = rest
        elif data:
            connection.flushed(now=now)
        if connection.aborted or (connection.closed and not rest):
            self.drop(sock, now)

    def drop(self, sock, now):
        if sock in self.connections:
            self.unsent.pop(sock, None)
            self.connections.pop(sock).connection_lost(now=now)
            sock.close()

    def handle(self, event):
        match event:
            case ConnectRequested():
                event.socket.accept()
            case EventReceived(name="echo", ack_id=int()):
                event.socket.ack(event.ack_id, *event.args)


if __name__ == "__main__":
    server = SelectServer("127.0.0.1", 3000)
    while True:
        server.turn()
