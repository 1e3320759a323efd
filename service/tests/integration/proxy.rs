//! Owns a TCP relay between the application and a server, whose mood a test sets: passing, silent, slow, cut. What it does
//! to bytes is nothing but to delay or drop their connection.

use std::{
    net::Ipv4Addr,
    sync::{Arc, Weak},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
};

use crate::servers::Port;

/// How the relay treats its connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mood {
    /// Passes everything on.
    Passing,
    /// Holds everything back; connections stay.
    Silent,
    /// Passes on what goes to the server and holds back what comes from it.
    Mute,
    /// Passes everything on, but from the server's first piece with this text on holds its connection back.
    Keeping(&'static str),
    /// Passes each piece on after this time.
    Slow(Duration),
    /// Closes every connection, old and new.
    Cut,
}

impl Mood {
    fn holds_question(&self, _piece: &[u8]) -> bool {
        *self == Self::Silent
    }

    fn holds_answer(&self, piece: &[u8]) -> bool {
        match self {
            Self::Silent | Self::Mute => true,
            Self::Keeping(text) => piece.windows(text.len()).any(|part| part == text.as_bytes()),
            Self::Passing | Self::Slow(_) | Self::Cut => false,
        }
    }
}

pub(crate) struct Proxy {
    pub(crate) port: Port,
    mood: watch::Sender<Mood>,
    /// One share of it for each piece that is delayed now.
    delayed: Arc<()>,
}

impl Proxy {
    /// A passing relay to a port of this host.
    pub(crate) async fn to(target: Port) -> Self {
        Self::on(Port(0), target).await
    }

    /// As [`Proxy::to`], on a port of one's choice.
    pub(crate) async fn on(port: Port, target: Port) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port.0)).await.expect("a port for the relay");
        let port = Port(listener.local_addr().expect("its number").port());
        let (mood, seen) = watch::channel(Mood::Passing);
        let delayed = Arc::new(());
        let shares = Arc::downgrade(&delayed);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(relay(client, target, seen.clone(), shares.clone()));
            }
        });
        Self { port, mood, delayed }
    }

    pub(crate) fn set(&self, mood: Mood) {
        self.mood.send_replace(mood);
    }

    /// Whether pieces of [`Mood::Slow`] are still on their way.
    pub(crate) fn delays(&self) -> bool {
        Arc::strong_count(&self.delayed) > 1
    }
}

async fn relay(client: TcpStream, target: Port, mut mood: watch::Receiver<Mood>, delayed: Weak<()>) {
    let for_pumps = mood.clone();
    let pass = async {
        let Ok(server) = TcpStream::connect((Ipv4Addr::LOCALHOST, target.0)).await else { return };
        let (from_client, to_client) = client.into_split();
        let (from_server, to_server) = server.into_split();
        tokio::select! {
            () = pump(from_client, to_server, for_pumps.clone(), &delayed, Mood::holds_question) => {}
            () = pump(from_server, to_client, for_pumps.clone(), &delayed, Mood::holds_answer) => {}
        }
    };
    tokio::select! {
        () = pass => {}
        _ = async { mood.wait_for(|mood| *mood == Mood::Cut).await.map(|_| ()) } => {}
    }
}

async fn pump(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut mood: watch::Receiver<Mood>,
    delayed: &Weak<()>,
    held: fn(&Mood, &[u8]) -> bool,
) {
    let mut piece = vec![0; 16 * 1024];
    loop {
        let Ok(length @ 1..) = from.read(&mut piece).await else { return };
        let now = match mood.wait_for(|mood| !held(mood, &piece[..length])).await {
            Ok(mood) if *mood != Mood::Cut => *mood,
            Ok(_) | Err(_) => return,
        };
        let mut _share = None;
        if let Mood::Slow(delay) = now {
            _share = delayed.upgrade();
            tokio::time::sleep(delay).await;
        }
        if to.write_all(&piece[..length]).await.is_err() {
            return;
        }
    }
}
