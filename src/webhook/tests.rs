//! Posts against a listener of this machine: what is sent, when it is sent again, when it is given up, and that the log
//! keeps what is private to itself.

use std::io::Write;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicI64, Ordering};

use serde_json::{Value, json};
use sha2::Digest as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

use super::*;

const SECRET: &[u8] = b"hush-0123456789abcdef";
const START: UnixMillis = UnixMillis(1_795_348_800_000);

/// A post as the other side read it.
#[derive(Debug)]
struct Post {
    head: String,
    body: String,
}

impl Post {
    fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }
}

async fn read(connection: &mut TcpStream) -> Post {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let post = Post { head: head.to_owned(), body: body.to_owned() };
            if post.header("content-length").unwrap().parse() == Ok(body.len()) {
                return post;
            }
        }
        assert!(connection.read_buf(&mut bytes).await.unwrap() > 0, "the post was cut off: {text}");
    }
}

async fn answer(connection: &mut TcpStream, status: u16) {
    let location = if status == 302 { "location: /elsewhere\r\n" } else { "" };
    let answer = format!("HTTP/1.1 {status} so\r\n{location}content-length: 0\r\nconnection: close\r\n\r\n");
    connection.write_all(answer.as_bytes()).await.unwrap();
}

/// Answers one post after the other with these statuses and returns the posts.
async fn answering(listener: TcpListener, statuses: &[u16]) -> Vec<Post> {
    let mut posts = Vec::new();
    for status in statuses {
        let (mut connection, _) = listener.accept().await.unwrap();
        posts.push(read(&mut connection).await);
        answer(&mut connection, *status).await;
    }
    posts
}

async fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// Time moves by the pauses alone; the chance is always the same.
struct Made {
    now_ms: AtomicI64,
    chance: f64,
    pauses: Mutex<Vec<u64>>,
}

impl Made {
    fn new(chance: f64) -> Self {
        Self { now_ms: AtomicI64::new(START.0), chance, pauses: Mutex::default() }
    }
}

impl Surroundings for Made {
    fn now(&self) -> UnixMillis {
        UnixMillis(self.now_ms.load(Ordering::SeqCst))
    }

    fn chance(&self) -> f64 {
        self.chance
    }

    async fn pause(&self, ms: u64) {
        self.now_ms.fetch_add(ms as i64, Ordering::SeqCst);
        self.pauses.lock().unwrap().push(ms);
    }
}

fn alert(id: &str) -> pb::Alert {
    pb::Alert {
        alert_id: id.to_owned(),
        budget_id: "ticket-run".to_owned(),
        scope: "goal".to_owned(),
        instance: "t-1".to_owned(),
        goal_id: Some("t-1".to_owned()),
        threshold_percent: 80,
        measure: "usd".to_owned(),
        limit: 2.0,
        used: 1.6,
        raised_at: Some(prost_types::Timestamp { seconds: 1_795_348_800, nanos: 0 }),
        ..pb::Alert::default()
    }
}

fn target(address: SocketAddr, retry_for_ms: i64) -> Target {
    Target::new(&format!("http://{address}/alerts?token=hush-query"), Some(SECRET), 10_000, retry_for_ms).unwrap()
}

/// HMAC-SHA-256 from its definition in RFC 2104, of a key of at most 64 bytes.
fn by_definition(key: &[u8], text: &[u8]) -> String {
    let padded = |with: u8| (0..64).map(|i| key.get(i).unwrap_or(&0) ^ with).collect::<Vec<u8>>();
    let inner = Sha256::digest([padded(0x36), text.to_vec()].concat());
    let outer = Sha256::digest([padded(0x5c), inner.to_vec()].concat());
    outer.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn a_signature_is_the_one_other_programs_compute() {
    let signed = target(([127, 0, 0, 1], 1).into(), 0);
    // printf '%s' '1795348800.{"a":1}' | openssl dgst -sha256 -hmac hush-0123456789abcdef
    let expected = "t=1795348800,v1=523d73d106ae6b59fcd1d7b1a26b6d30e2f022e74a9d01a4b05265a97484500d";
    assert_eq!(signed.signature(UnixMillis(START.0 + 999), br#"{"a":1}"#).as_deref(), Some(expected));
    let unsigned = Target::new("http://localhost/", None, 1, 0).unwrap();
    assert_eq!(unsigned.signature(START, b"x"), None);
}

#[tokio::test]
async fn an_alert_is_posted_as_it_is_listed_signed_and_named() {
    let (listener, address) = listener().await;
    let (target, around, alert) = (target(address, 0), Made::new(0.0), alert("a-1"));
    let (delivered, posts) = tokio::join!(deliver(&alert, &target, &around), answering(listener, &[204]));
    assert_eq!(delivered, Delivered::Taken { at: START, attempts: 1 });
    let post = &posts[0];
    assert!(post.head.starts_with("POST /alerts?token=hush-query HTTP/1.1\r\n"), "{}", post.head);
    assert_eq!(post.header("host"), Some(address.to_string().as_str()));
    assert_eq!((post.header("content-type"), post.header(ALERT_ID)), (Some("application/json"), Some("a-1")));
    let expected = by_definition(SECRET, format!("1795348800.{}", post.body).as_bytes());
    assert_eq!(post.header(SIGNATURE), Some(format!("t=1795348800,v1={expected}").as_str()));
    let told: Value = serde_json::from_str(&post.body).unwrap();
    let listed = json!({
        "alert_id": "a-1", "budget_id": "ticket-run", "scope": "goal", "instance": "t-1", "goal_id": "t-1",
        "threshold_percent": 80, "measure": "usd", "limit": 2.0, "used": 1.6, "raised_at": "2026-11-22T12:00:00Z",
        "resets_at": null, "acknowledged_at": null, "acknowledged_by": null, "note": null,
    });
    assert_eq!(told, listed);
}

#[tokio::test]
async fn a_failing_and_an_absent_receiver_are_tried_again_later_and_signed_anew() {
    let (listener, address) = listener().await;
    let (target, around, alert) = (target(address, 3_600_000), Made::new(0.5), alert("a-1"));
    let receiver = async {
        let first = answering(listener, &[500]).await;
        // Nobody listens until the second attempt has been refused.
        while around.pauses.lock().unwrap().len() < 2 {
            tokio::task::yield_now().await;
        }
        let second = answering(TcpListener::bind(address).await.unwrap(), &[200]).await;
        (first, second)
    };
    let (delivered, (first, second)) = tokio::join!(deliver(&alert, &target, &around), receiver);
    let Delivered::Taken { at, attempts } = delivered else { panic!("{delivered:?}") };
    let pauses = around.pauses.lock().unwrap().clone();
    assert_eq!(pauses[..2], [750, 1_500], "between half and all of 1 s and of 2 s");
    assert_eq!((pauses.len() as u32 + 1, at), (attempts, START.plus_ms(pauses.iter().sum::<u64>() as i64)));
    let later = second[0].header(SIGNATURE).unwrap();
    let time = later.strip_prefix("t=").unwrap().split_once(',').unwrap().0;
    assert!(time.parse::<i64>().unwrap() >= START.0 / 1_000 + 2, "{later}");
    let expected = by_definition(SECRET, format!("{time}.{}", first[0].body).as_bytes());
    assert_eq!(later, format!("t={time},v1={expected}"), "the same body, signed for its own time");
    assert_eq!(second[0].header(ALERT_ID), first[0].header(ALERT_ID));
}

#[tokio::test]
async fn what_would_never_be_taken_is_given_up_at_once() {
    for (status, why) in [
        (400, "it was answered with 400 Bad Request"),
        (410, "it was answered with 410 Gone"),
        (302, "it was answered with 302 Found, and redirections are not followed"),
    ] {
        let (listener, address) = listener().await;
        let (target, around, alert) = (target(address, 3_600_000), Made::new(0.0), alert("a-1"));
        let statuses = [status];
        let (delivered, _) = tokio::join!(deliver(&alert, &target, &around), answering(listener, &statuses));
        assert_eq!(delivered, Delivered::GivenUp { why: why.to_owned(), attempts: 1 });
    }
}

#[tokio::test]
async fn a_receiver_that_is_slow_or_busy_is_tried_until_the_time_is_up() {
    let (listener, address) = listener().await;
    let (target, around, alert) = (target(address, 3_500), Made::new(0.0), alert("a-1"));
    let statuses = [408, 429, 503, 429];
    let (delivered, _) = tokio::join!(deliver(&alert, &target, &around), answering(listener, &statuses));
    let why = "it was answered with 429 Too Many Requests".to_owned();
    assert_eq!(delivered, Delivered::GivenUp { why, attempts: 4 });
    assert_eq!(*around.pauses.lock().unwrap(), [500, 1_000, 2_000], "the next would end after 3.5 s");
}

#[tokio::test]
async fn no_answer_is_waited_for_beyond_the_limit() {
    let (listener, address) = listener().await;
    let target = Target::new(&format!("http://{address}/"), None, 30, 0).unwrap();
    let (around, alert) = (Made::new(0.0), alert("a-1"));
    let silent = async {
        let (mut connection, _) = listener.accept().await.unwrap();
        (read(&mut connection).await, connection)
    };
    let (delivered, (post, _open)) = tokio::join!(deliver(&alert, &target, &around), silent);
    assert_eq!(delivered, Delivered::GivenUp { why: "no answer within 30 ms".to_owned(), attempts: 1 });
    assert_eq!(post.header(SIGNATURE), None, "without a secret nothing is signed");
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn the_log_tells_of_every_attempt_and_of_no_secret() {
    let log = Log::default();
    let made = log.clone();
    let subscriber = tracing_subscriber::fmt().with_ansi(false).with_max_level(tracing::Level::TRACE);
    let _guard = tracing::subscriber::set_default(subscriber.with_writer(move || made.clone()).finish());
    let (listener, address) = listener().await;
    let (target, around) = (target(address, 3_600_000), Made::new(0.0));
    tracing::info!(?target, "shown");
    let (taken, lost) = (alert("a-1"), alert("a-2"));
    let deliveries = async { (deliver(&taken, &target, &around).await, deliver(&lost, &target, &around).await) };
    tokio::join!(deliveries, answering(listener, &[500, 200, 403]));
    let said = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    for line in [
        "an alert was not taken alert=\"a-1\"",
        "an alert was posted alert=\"a-1\"",
        "an alert is not posted again; it stays listed alert=\"a-2\"",
        &format!("target=Target({address}, signed)"),
    ] {
        assert!(said.contains(line), "{line}: {said}");
    }
    assert!(!said.contains("hush"), "{said}");
    let refused = Target::new("https://kim:hush@localhost/", Some(SECRET), 1, 0).unwrap_err();
    assert!(!refused.contains("hush"), "{refused}");
}

/// Pauses end when somebody says so.
struct Held(Made, Arc<Notify>);

impl Surroundings for Held {
    fn now(&self) -> UnixMillis {
        self.0.now()
    }

    fn chance(&self) -> f64 {
        0.0
    }

    async fn pause(&self, _: u64) {
        self.1.notified().await;
    }
}

#[tokio::test]
async fn an_alert_that_waits_holds_up_no_other() {
    let (listener, address) = listener().await;
    let go_on = Arc::new(Notify::new());
    let around = Held(Made::new(0.0), Arc::clone(&go_on));
    let (sender, alerts) = mpsc::channel(4);
    for id in ["waits", "passes"] {
        sender.send(alert(id)).await.unwrap();
    }
    drop(sender);
    let order = Mutex::new(Vec::new());
    let receiver = async {
        let mut failed = false;
        for _ in 0..3 {
            let (mut connection, _) = listener.accept().await.unwrap();
            let post = read(&mut connection).await;
            let fails = post.header(ALERT_ID) == Some("waits") && !std::mem::replace(&mut failed, true);
            answer(&mut connection, if fails { 503 } else { 200 }).await;
        }
    };
    let became = |alert: &pb::Alert, delivered: &Delivered| {
        order.lock().unwrap().push((alert.alert_id.clone(), delivered.clone()));
        go_on.notify_one();
    };
    let target = target(address, 3_600_000);
    let both = async { tokio::join!(work(alerts, target, around, became), receiver) };
    tokio::time::timeout(Duration::from_secs(30), both).await.expect("nothing waits for the alert that waits");
    let taken = |id: &str, attempts| (id.to_owned(), Delivered::Taken { at: START, attempts });
    assert_eq!(*order.lock().unwrap(), [taken("passes", 1), taken("waits", 2)]);
}

#[test]
fn pauses_double_up_to_ten_minutes_and_are_spread() {
    let pauses: Vec<u64> = [1, 2, 3, 10, 11, 12, u32::MAX].map(|n| pause_ms(n, 0.0)).to_vec();
    assert_eq!(pauses, [500, 1_000, 2_000, 256_000, 300_000, 300_000, 300_000]);
    assert_eq!([1, 11, u32::MAX].map(|n| pause_ms(n, 0.999_999_9)), [999, 599_999, 599_999]);
}
