//! A program on loopback that answers as it is told, a connection an answer, and keeps what it was asked.

// Each test file uses a part of this.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;

use crate::support::Ran;

/// Bytes to send, after which the connection is closed.
pub(crate) type Reply = Vec<u8>;

/// The fake.
pub(crate) struct FakeGateway {
    pub(crate) url: String,
    requests: Arc<Mutex<Vec<String>>>,
}

impl FakeGateway {
    /// Listens, and gives these answers in their order; later connections are closed at once.
    pub(crate) fn answering(replies: Vec<Reply>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&requests);
        thread::spawn(move || {
            let mut replies = replies.into_iter();
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let request = read_request(&mut stream);
                kept.lock().unwrap().push(request);
                let Some(reply) = replies.next() else { continue };
                // A client that has read enough may have left.
                let _ = stream.write_all(&reply);
            }
        });
        Self { url, requests }
    }

    /// Heads (in lower case) and bodies of what was asked so far.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

fn read_request(stream: &mut TcpStream) -> String {
    let (mut bytes, mut byte) = (Vec::new(), [0]);
    while !bytes.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap_or(0) == 1 {
        bytes.push(byte[0]);
    }
    let head = String::from_utf8(bytes).unwrap().to_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    stream.read_exact(&mut body).unwrap();
    head + std::str::from_utf8(&body).unwrap()
}

/// A whole answer.
pub(crate) fn answer(status: &str, headers: &str, body: &str) -> Reply {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\n{headers}content-length: {length}\r\nconnection: close\r\n\r\n{body}").into_bytes()
}

/// A problem as the interface writes it.
pub(crate) fn problem(status: &str, headers: &str, body: &serde_json::Value) -> Reply {
    let headers = format!("content-type: application/problem+json\r\n{headers}");
    answer(status, &headers, &body.to_string())
}

/// A stream of events that breaks off without its last chunk.
pub(crate) fn broken_stream(text: &str) -> Reply {
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
    format!("{head}{:x}\r\n{text}\r\n", text.len()).into_bytes()
}

/// Runs the binary with a token in its environment.
pub(crate) fn with_token(args: &[&str]) -> Ran {
    run(crate::support::command(args).env("HUFU_TOKEN", "secret-of-the-test"))
}

/// Runs a command that reads nothing.
pub(crate) fn run(command: &mut Command) -> Ran {
    let output = command.stdin(Stdio::null()).output().unwrap();
    Ran {
        code: output.status.code().expect("ended by itself"),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}
