//! A program in the service's place that fails in the way that its environment names: what a bad image holds. Compiled
//! by `rustc` alone and put into an image of nothing else.
//!
//! Must not: need any crate.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};

fn main() {
    let manner = std::env::var("MANNER").unwrap_or_default();
    // The container that migrates is not what is on trial.
    if std::env::args().nth(1).as_deref() == Some("migrate") {
        return;
    }
    println!("the last words of an impostor: {manner}");
    if manner == "crash" {
        std::process::exit(3);
    }
    let listener = TcpListener::bind("0.0.0.0:8000").expect("the port is free in a container");
    let mut unanswered = Vec::new();
    for stream in listener.incoming().flatten() {
        if manner == "hang" {
            // Taken, kept and never answered.
            unanswered.push(stream);
        } else {
            answer(stream);
        }
    }
}

/// Alive, and never ready.
fn answer(mut stream: TcpStream) {
    let mut request = [0; 1024];
    let length = stream.read(&mut request).unwrap_or(0);
    let status = if request[..length].starts_with(b"GET /health") { "200 OK" } else { "503 Service Unavailable" };
    let _ = write!(stream, "HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
}
