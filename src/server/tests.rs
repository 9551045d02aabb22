//! The listener as a client on the wire sees it: frames by hand (RFC 9113), so that nothing in between mends or hides
//! what the daemon does. It waits for frames, never for time.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::routing::any;
use tokio::sync::Notify;

use super::*;
use crate::config::Settings;

/// Longest wait for one frame.
const PATIENCE: Duration = Duration::from_secs(30);

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const ACK: u8 = 1;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// `:method: GET` and `POST` of the static table (RFC 7541, appendix A).
const GET: u8 = 0x82;
const POST: u8 = 0x83;

fn limits() -> Limits {
    Settings::with_data_dir("unused".into()).server
}

/// A listener over `router` that lives as long as the test.
async fn listening(router: Router, limits: Limits) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { run(listener, Edges::with_pages(router), &limits, std::future::pending()).await });
    address
}

/// One connection, frame by frame.
struct Wire(TcpStream);

impl Wire {
    fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Self(stream)
    }

    /// A connection that has begun to speak HTTP/2.
    fn http2(address: SocketAddr) -> Self {
        let mut wire = Self::connect(address);
        wire.0.write_all(PREFACE).unwrap();
        wire.send(SETTINGS, 0, 0, &[]);
        // Its windows hold from the moment its settings are acknowledged.
        wire.until(SETTINGS);
        wire.send(SETTINGS, ACK, 0, &[]);
        // The window of the connection is no setting: it is widened by a frame of its own.
        wire.until(WINDOW_UPDATE);
        wire
    }

    fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        let mut frame = u32::try_from(payload.len()).unwrap().to_be_bytes()[1..].to_vec();
        frame.extend([kind, flags]);
        frame.extend(stream.to_be_bytes());
        frame.extend(payload);
        self.0.write_all(&frame).unwrap();
    }

    /// Begins a request to `http://a/`.
    fn request(&mut self, stream: u32, method: u8, flags: u8) {
        self.send(HEADERS, END_HEADERS | flags, stream, &[method, 0x84, 0x86, 0x41, 1, b'a']);
    }

    /// The next frame: kind, flags, stream and payload; `None`: the connection was closed.
    fn frame(&mut self) -> Option<(u8, u8, u32, Vec<u8>)> {
        let mut head = [0; 9];
        match self.0.read_exact(&mut head) {
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => return None,
            read => read.unwrap(),
        }
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; length as usize];
        self.0.read_exact(&mut payload).unwrap();
        if (head[3], head[4]) == (PING, 0) {
            self.send(PING, ACK, 0, &payload);
        }
        Some((head[3], head[4], u32::from_be_bytes([head[5], head[6], head[7], head[8]]), payload))
    }

    /// Frames up to the first of that kind.
    fn until(&mut self, wanted: u8) -> (u8, u8, u32, Vec<u8>) {
        let mut passed = Vec::new();
        while let Some(frame) = self.frame() {
            if frame.0 == wanted {
                return frame;
            }
            passed.push(frame);
        }
        panic!("closed without a frame of kind {wanted}: {passed:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_says_nothing_or_half_a_greeting_is_let_go() {
    let address = listening(Router::new(), Limits { header_timeout_ms: 50, ..limits() }).await;
    let heard = tokio::task::spawn_blocking(move || {
        let greetings: [&[u8]; 4] = [b"", b"P", &PREFACE[..23], b"GET / HTTP/1.1\r\nhost: a\r\n"];
        greetings.map(|greeting| {
            let mut wire = Wire::connect(address);
            wire.0.write_all(greeting).unwrap();
            let mut heard = Vec::new();
            match wire.0.read_to_end(&mut heard) {
                // What the daemon did not read makes its farewell a reset.
                Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => 0,
                read => read.expect("closed within the patience of this test"),
            };
            heard
        })
    });
    let heard = heard.await.unwrap();
    assert!(heard[..3].iter().all(Vec::is_empty), "{heard:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_connection_is_told_to_end_and_loses_no_request() {
    let go_on = Arc::new(Notify::new());
    let waits = go_on.clone();
    let router = Router::new().fallback(any(move || {
        let waits = waits.clone();
        async move {
            waits.notified().await;
            "late"
        }
    }));
    let address = listening(router, Limits { max_connection_age_ms: 50, ..limits() }).await;
    let frames = tokio::task::spawn_blocking(move || {
        let mut wire = Wire::http2(address);
        wire.request(1, GET, END_STREAM);
        let (.., farewell) = wire.until(GOAWAY);
        let reason = u32::from_be_bytes(farewell[4..8].try_into().unwrap());
        go_on.notify_one();
        let (_, _, answered, _) = wire.until(HEADERS);
        let (_, _, _, body) = wire.until(DATA);
        while wire.frame().is_some() {}
        (reason, answered, body)
    });
    assert_eq!(frames.await.unwrap(), (0, 1, b"late".to_vec()), "no error, the answer, and then the end");
}

/// As many small messages as callers send while the disk holds up the first of them.
#[tokio::test(flavor = "multi_thread")]
async fn small_messages_that_wait_are_not_taken_for_a_flood() {
    const SENT: usize = 20_000;
    let (all_sent, go_on) = (Arc::new(AtomicBool::new(false)), Arc::new(Notify::new()));
    let (ready, waits) = (all_sent.clone(), go_on.clone());
    let router = Router::new().fallback(any(move |body: Body| {
        let (ready, waits) = (ready.clone(), waits.clone());
        async move {
            waits.notified().await;
            assert!(ready.load(Ordering::Acquire));
            to_bytes(body, usize::MAX).await.map_or(0, |bytes| bytes.len()).to_string()
        }
    }));
    let address = listening(router, limits()).await;
    let answer = tokio::task::spawn_blocking(move || {
        let mut wire = Wire::http2(address);
        wire.request(1, POST, 0);
        for _ in 0..SENT {
            wire.send(DATA, 0, 1, b"0123456789");
        }
        // An answered ping says that all of it has arrived.
        wire.send(PING, 0, 0, b"all sent");
        let (_, flags, ..) = wire.until(PING);
        all_sent.store(flags == ACK, Ordering::Release);
        go_on.notify_one();
        wire.send(DATA, END_STREAM, 1, b"");
        let (.., headers) = wire.until(HEADERS);
        (headers[0], wire.until(DATA).3)
    });
    assert_eq!(answer.await.unwrap(), (0x88, b"200000".to_vec()), "status 200 and every byte");
}
