//! A server of nothing but the standard library: says which version it is; `/stream` does not end.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};

const VERSION: &str = "one";

fn main() {
    if std::env::args().nth(1).as_deref() == Some("health") {
        std::process::exit(if TcpStream::connect("127.0.0.1:8000").is_ok() { 0 } else { 1 });
    }
    if std::env::args().nth(1).as_deref() == Some("prepare") {
        return;
    }
    println!("version {VERSION}");
    let listener = TcpListener::bind("0.0.0.0:8000").expect("the port is free in here");
    for stream in listener.incoming().flatten() {
        std::thread::spawn(move || serve(stream));
    }
}

fn serve(stream: TcpStream) {
    let mut reader = BufReader::new(stream);
    loop {
        let mut length = 0;
        let mut streams = false;
        let mut line = String::new();
        loop {
            line.clear();
            match reader.read_line(&mut line) {
                Ok(read) if read > 0 => {}
                _ => return,
            }
            let text = line.trim_end().to_ascii_lowercase();
            streams |= text.starts_with("get /stream ");
            if let Some(value) = text.strip_prefix("content-length:") {
                length = value.trim().parse().unwrap_or(0);
            }
            if text.is_empty() {
                break;
            }
        }
        let mut body = vec![0; length];
        if reader.read_exact(&mut body).is_err() {
            return;
        }
        if streams {
            // Until whoever reads it has enough.
            let _ = reader.get_mut().write_all(b"HTTP/1.1 200 OK\r\n\r\nbegun");
            let _ = reader.read_to_end(&mut Vec::new());
            return;
        }
        let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{VERSION}", VERSION.len());
        if reader.get_mut().write_all(answer.as_bytes()).is_err() {
            return;
        }
    }
}
