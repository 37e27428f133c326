//! The socketioxide peer: its layer on axum, as its documentation deploys it, and the handlers of the bench.

use axum::Router;
use bytes::Bytes;
use socketioxide::SocketIo;
use socketioxide::extract::{AckSender, Data, SocketRef};
use tokio::net::TcpSocket;
use tokio::runtime::Builder;

async fn echo(Data(text): Data<String>, acknowledge: AckSender) {
    acknowledge.send(&text).ok();
}

async fn binary(socket: SocketRef, Data(data): Data<Bytes>) {
    socket.emit("bin", &data).ok();
}

async fn cast(io: SocketIo, Data(text): Data<String>) {
    io.emit("cast", &text).await.ok();
}

async fn join(socket: SocketRef, Data(room): Data<String>, acknowledge: AckSender) {
    socket.join(room.clone());
    acknowledge.send(&room).ok();
}

async fn leave(socket: SocketRef, Data(room): Data<String>, acknowledge: AckSender) {
    socket.leave(room.clone());
    acknowledge.send(&room).ok();
}

async fn to_room(io: SocketIo, Data((room, text)): Data<(String, String)>) {
    io.to(room).emit("room", &text).await.ok();
}

async fn connected(socket: SocketRef) {
    socket.on("echo", echo);
    socket.on("bin", binary);
    socket.on("cast", cast);
    socket.on("join", join);
    socket.on("leave", leave);
    socket.on("room", to_room);
}

async fn serve() -> std::io::Result<()> {
    let (layer, io) = SocketIo::new_layer();
    io.ns("/", connected);
    let socket = TcpSocket::new_v4()?;
    socket.bind(([127, 0, 0, 1], 0).into())?;
    let listener = socket.listen(4096)?;
    println!("listening {}", listener.local_addr()?.port());
    axum::serve(listener, Router::new().layer(layer)).await
}

fn main() -> std::io::Result<()> {
    if std::env::args().nth(1).as_deref() == Some("--version") {
        println!("{}", env!("PEER_VERSIONS"));
        return Ok(());
    }
    // It has one core, on which the runtime with threads of its own takes up to twice the CPU for an event.
    Builder::new_current_thread().enable_all().build()?.block_on(serve())
}
