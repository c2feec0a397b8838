//! The model server behind every proxy: it answers from memory, so that it is not what is measured.
//!
//! Each chunk of a stream is one write, as model servers do it, and bears the time of that write in an SSE `id` field, which
//! every proxy passes on and no policy reads.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context as _;
use tokio::io::{AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{MissedTickBehavior, interval};

use crate::apis::Api;
use crate::clock;
use crate::http;

/// Chunks of a streamed answer.
pub const CHUNKS: usize = 200;
/// Between two chunks of a paced stream: 100 chunks a second.
pub const PACE: Duration = Duration::from_millis(10);
/// Model that streams at [`PACE`]; every other one as fast as it can.
pub const PACED_MODEL: &str = "bench-paced";

/// Words of about the length that models' tokens have.
const WORDS: [&str; 25] = [
    " The", " lock", " lets", " you", " step", " from", " one", " room", " into", " another", ",",
    " and", " the", " air", " of", " either", " stays", " where", " it", " was", ".", " Nobody",
    " has", " to", " wait",
];

/// What a chunk says.
fn word(index: usize) -> &'static str {
    WORDS.get(index % WORDS.len()).copied().unwrap_or_default()
}

/// The whole answer, streamed or not.
pub fn answer() -> String {
    (0..CHUNKS).map(word).collect()
}

/// Serves for as long as the process lives: here, or on a free port of loopback.
///
/// # Errors
/// The address cannot be had.
pub async fn start(address: Option<SocketAddr>) -> anyhow::Result<SocketAddr> {
    let address = address.unwrap_or(SocketAddr::from(([127, 0, 0, 1], 0)));
    let listener = TcpListener::bind(address)
        .await
        .with_context(|| format!("cannot listen on {address}"))?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            // A proxy that closes a connection ends its task with an error, which says nothing.
            tokio::spawn(serve(stream));
        }
    });
    Ok(address)
}

async fn serve(stream: TcpStream) -> anyhow::Result<()> {
    stream.set_nodelay(true)?;
    let mut stream = BufReader::with_capacity(64 * 1024, stream);
    let mut body = Vec::new();
    while let Some(head) = http::head(&mut stream).await? {
        body.clear();
        if head.chunked {
            while http::chunk(&mut stream, &mut body).await? {}
        } else {
            http::append(&mut stream, &mut body, head.length.unwrap_or_default()).await?;
        }
        let api = Api::of(head.path());
        if api != Api::Gemini && !contains(&body, b"\"stream\":true") {
            whole(stream.get_mut()).await?;
        } else {
            let paced = PACED_MODEL.as_bytes();
            let paced = contains(&body, paced) || contains(head.first.as_bytes(), paced);
            streamed(stream.get_mut(), api, paced).await?;
        }
    }
    Ok(())
}

async fn whole(stream: &mut TcpStream) -> anyhow::Result<()> {
    let body = format!(
        r#"{{"id":"chatcmpl-bench","object":"chat.completion","created":1,"model":"bench","choices":[{{"index":0,"message":{{"role":"assistant","content":{:?}}},"finish_reason":"stop"}}],"usage":{{"prompt_tokens":100,"completion_tokens":{CHUNKS},"total_tokens":{}}}}}"#,
        answer(),
        CHUNKS + 100,
    );
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    Ok(stream.write_all((head + &body).as_bytes()).await?)
}

async fn streamed(stream: &mut TcpStream, api: Api, paced: bool) -> anyhow::Result<()> {
    let kind = api.media_type();
    let mut head =
        format!("HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ntransfer-encoding: chunked\r\n\r\n");
    let opening = api.head();
    if !opening.is_empty() {
        write!(head, "{:x}\r\n{opening}\r\n", opening.len())?;
    }
    stream.write_all(head.as_bytes()).await?;
    let mut ticks = interval(PACE);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut part = String::new();
    for index in 0..CHUNKS {
        if paced {
            ticks.tick().await;
        }
        let frame = api.chunk(index, word(index), clock::now());
        part.clear();
        write!(part, "{:x}\r\n{frame}\r\n", frame.len())?;
        stream.write_all(part.as_bytes()).await?;
    }
    let end = api.end(&answer(), CHUNKS);
    Ok(stream
        .write_all(format!("{:x}\r\n{end}\r\n0\r\n\r\n", end.len()).as_bytes())
        .await?)
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}
