//! Single keys of a person at the terminal, each as it is pressed. Ctrl-C and Ctrl-Z stay the terminal's own.
//!
//! Must not: know what a key is for, or read while another process group has the terminal (a job in the background that
//! does is stopped for it: SIGTTIN).

use std::os::fd::BorrowedFd;
use std::sync::{Arc, Weak};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::termios::LocalModes;
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};

use super::modes::{Off, is_ours};
use crate::limits;

/// A keyboard that is listened to. Dropped, the terminal is as it was.
#[derive(Debug)]
pub struct Keyboard {
    typed: UnboundedReceiver<String>,
    _off: Arc<Off>,
}

impl Keyboard {
    /// Begins to listen. `None` where standard input and error are not one terminal.
    pub fn open() -> Option<Self> {
        if !is_one_terminal() {
            return None;
        }
        let off = Arc::new(Off::take(LocalModes::ICANON | LocalModes::ECHO));
        let (sender, typed) = mpsc::unbounded_channel();
        let held = Arc::downgrade(&off);
        // A thread of its own: it waits in the system for as long as nobody presses a key.
        let reader = std::thread::Builder::new().name("keyboard".to_owned());
        reader.spawn(move || read(&held, &sender)).ok()?;
        Some(Self { typed, _off: off })
    }

    /// The next key, or the next ones when they came at once: pressed fast, or a text that was pasted. Never resolves once
    /// the terminal is gone.
    pub async fn typed(&mut self) -> String {
        match self.typed.recv().await {
            Some(typed) => typed,
            None => std::future::pending().await,
        }
    }
}

/// Whether standard input and standard error are the same device.
fn is_one_terminal() -> bool {
    let device = |stream: BorrowedFd<'_>| rustix::fs::fstat(stream).ok().map(|stat| stat.st_rdev);
    device(rustix::stdio::stdin()) == device(rustix::stdio::stderr())
}

fn read(off: &Weak<Off>, typed: &UnboundedSender<String>) {
    let stdin = rustix::stdio::stdin();
    let look = Timespec { tv_sec: 0, tv_nsec: limits::TERMINAL_LOOK.subsec_nanos().into() };
    // Some pages of text: what is pasted comes in few pieces.
    let mut bytes = [0; 4096];
    while let Some(off) = off.upgrade() {
        let ours = off.hold();
        drop(off);
        if !ours {
            std::thread::sleep(limits::TERMINAL_LOOK);
            continue;
        }
        match poll(&mut [PollFd::new(&stdin, PollFlags::IN)], Some(&look)) {
            Ok(0) | Err(Errno::INTR) => continue,
            // It may have been put into the background meanwhile.
            Ok(_) if !is_ours() => continue,
            Ok(_) => {}
            Err(_) => return,
        }
        match rustix::io::read(stdin, &mut bytes) {
            Ok(0) => return,
            Ok(count) => {
                if let Some(text) = text(&bytes[..count]) {
                    let _ = typed.send(text.to_owned());
                }
            }
            Err(Errno::INTR | Errno::AGAIN) => {}
            Err(_) => return,
        }
    }
}

/// What was typed, if it is text and nothing else: a key that sends a sequence (an arrow), the sequences around a text that
/// was pasted, and the end of a line are nobody's keys, nor is what came with them.
fn text(bytes: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(bytes).ok()?;
    (!text.is_empty() && !text.contains(char::is_control)).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_text_is_typed() {
        let table: [(&[u8], Option<&str>); 8] = [
            (b"q", Some("q")),
            (b"rr", Some("rr")),
            ("é".as_bytes(), Some("é")),
            (b"\x1b[A", None),
            (b"\x1b[200~q\x1b[201~", None),
            (b"q\n", None),
            (b"\x04", None),
            (b"\xff", None),
        ];
        for (bytes, typed) in table {
            assert_eq!(text(bytes), typed, "{bytes:?}");
        }
    }
}
