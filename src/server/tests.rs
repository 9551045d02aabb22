//! The listener as a client on the wire sees it: frames by hand (RFC 9113), so that nothing in between mends or hides
//! what the daemon does. It waits for frames, never for time.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::routing::any;
use tokio::sync::{Notify, mpsc};
use tokio_stream::wrappers::UnboundedReceiverStream;

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

/// As many small messages as streams may hold while the disk holds up what came before them.
#[tokio::test(flavor = "multi_thread")]
async fn small_messages_that_wait_are_not_taken_for_a_flood() {
    const STREAMS: usize = 7;
    /// No outcome is smaller with its decision's id.
    const MESSAGE: [u8; 80] = [b'm'; 80];
    const SENT: usize = STREAM_WINDOW_BYTES as usize / MESSAGE.len();
    let (all_sent, go_on) = (Arc::new(AtomicBool::new(false)), Arc::new(Semaphore::new(0)));
    let (ready, waits) = (all_sent.clone(), go_on.clone());
    let router = Router::new().fallback(any(move |body: Body| {
        let (ready, waits) = (ready.clone(), waits.clone());
        async move {
            let _told = waits.acquire().await;
            assert!(ready.load(Ordering::Acquire));
            to_bytes(body, usize::MAX).await.map_or(0, |bytes| bytes.len()).to_string()
        }
    }));
    let patient = Limits { request_timeout_ms: 600_000, ..limits() };
    let address = listening(router, patient).await;
    let answers = tokio::task::spawn_blocking(move || {
        let mut wire = Wire::http2(address);
        let streams: Vec<u32> = (0..STREAMS as u32).map(|n| 2 * n + 1).collect();
        for stream in &streams {
            wire.request(*stream, POST, 0);
            for _ in 0..SENT {
                wire.send(DATA, 0, *stream, &MESSAGE);
            }
        }
        // An answered ping says that all of it has arrived.
        wire.send(PING, 0, 0, b"all sent");
        let (_, flags, ..) = wire.until(PING);
        all_sent.store(flags == ACK, Ordering::Release);
        go_on.add_permits(STREAMS);
        streams.iter().for_each(|stream| wire.send(DATA, END_STREAM, *stream, b""));
        let mut answered = || loop {
            let (.., body) = wire.until(DATA);
            if !body.is_empty() {
                return body;
            }
        };
        streams.iter().map(|_| answered()).collect::<Vec<_>>()
    });
    let every_byte = (SENT * MESSAGE.len()).to_string().into_bytes();
    assert_eq!(answers.await.unwrap(), vec![every_byte; STREAMS]);
}

const RECORD_OUTCOMES: &str = "/oddsmaker.v1.RouterService/RecordOutcomes";
const GET_POLICY: &str = "/oddsmaker.v1.RouterService/GetPolicy";

/// What answers requests within a moment, `places` at once; pages read the body whole.
fn answering(places: usize) -> Answering {
    let pages = Router::new().fallback(any(async |body: Bytes| body.len().to_string()));
    let (edges, in_flight) = (Arc::new(Edges::with_pages(pages)), Arc::new(Semaphore::new(places)));
    Answering { edges, in_flight, time: Duration::from_millis(20) }
}

/// A call whose body is `body`.
fn grpc(path: &str, body: Body) -> Request<Body> {
    let request = Request::post(path).version(http::Version::HTTP_2).header("content-type", "application/grpc");
    request.body(body).unwrap()
}

/// A body of which nothing ever comes.
fn stalled() -> Body {
    Body::from_stream(futures_util::stream::pending::<Result<Bytes, std::io::Error>>())
}

#[tokio::test]
async fn a_request_whose_body_stalls_ends_in_its_time_and_gives_its_place_back() {
    let answering = answering(1);
    let late = answering.clone().answer(grpc(GET_POLICY, stalled())).await.unwrap();
    assert_eq!(late.headers()["grpc-status"], "4");
    assert_eq!(answering.in_flight.available_permits(), 1);
    let late = answering.clone().answer(Request::post("/v1/policy").body(stalled()).unwrap()).await.unwrap();
    assert_eq!(
        (late.status().as_u16(), &late.headers()["content-type"]),
        (504, &"application/problem+json".parse().unwrap())
    );
    assert_eq!(answering.in_flight.available_permits(), 1);
    let read = answering.answer(Request::post("/v1/policy").body(Body::from("{}")).unwrap()).await.unwrap();
    assert_eq!(read.status(), 200);
}

#[tokio::test]
async fn a_stream_holds_no_place_and_is_not_cut_once_its_answer_has_begun() {
    let answering = answering(1);
    let (send, sent) = mpsc::unbounded_channel::<Result<Bytes, std::io::Error>>();
    let begun = answering
        .clone()
        .answer(grpc(RECORD_OUTCOMES, Body::from_stream(UnboundedReceiverStream::new(sent))))
        .await
        .unwrap();
    assert_eq!((begun.status().as_u16(), answering.in_flight.available_permits()), (200, 1));
    // The time of another request runs out, and so the time of this one has.
    let late = answering.answer(grpc(GET_POLICY, stalled())).await.unwrap();
    assert_eq!(late.headers()["grpc-status"], "4");
    // Nothing but a correlation.
    send.send(Ok(Bytes::from_static(b"\0\0\0\0\x03\x0a\x01c"))).unwrap();
    drop(send);
    let answers = to_bytes(Body::new(begun.into_body()), usize::MAX).await.unwrap();
    assert_eq!(&answers[5..8], b"\x0a\x01c", "it is answered under its correlation");
}

#[tokio::test]
async fn probes_are_answered_however_busy_the_daemon_is() {
    let answering = answering(0);
    let ask =
        async |path: &str| answering.clone().answer(Request::get(path).body(Body::empty()).unwrap()).await.unwrap();
    assert_eq!((ask("/livez").await.status().as_u16(), ask("/readyz").await.status().as_u16()), (200, 200));
    let busy = ask("/v1/status").await;
    assert_eq!((busy.status().as_u16(), &busy.headers()["retry-after"]), (503, &"1".parse().unwrap()));
    let busy = answering.answer(grpc(GET_POLICY, Body::empty())).await.unwrap();
    assert_eq!(busy.headers()["grpc-status"], "14");
}
