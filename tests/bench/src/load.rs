//! Clients: agents that each make one call after another on a connection of their own.

use std::borrow::Cow;
use std::net::SocketAddr;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use serde_json::json;
use tokio::io::{AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::apis::Api;
use crate::clock;
use crate::http;
use crate::upstream::{self, PACE, PACED_MODEL};

/// Calls of one session. Each sends the whole conversation so far, as agents do.
const TURNS: usize = 16;

/// Messages that a long conversation begins with, and bytes of each: 2 MB.
const LONG_MESSAGES: usize = 1000;
const LONG_BYTES: usize = 2000;

/// How much one measurement loads a server.
#[derive(Clone, Copy)]
pub enum Amount {
    /// For 0.9 s, with at most 1,500 calls in all.
    Some,
    /// With so many calls of each client.
    Calls(u64),
}

const DURATION: Duration = Duration::from_millis(900);
const MOST_CALLS: u64 = 1500;

/// What clients ask for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Load {
    /// Whole answers, one after the other.
    Whole,
    /// Streams at full speed, one after the other.
    Full,
    /// One stream at 100 chunks a second, each client a little after the one before.
    Paced,
    /// Whole answers in a conversation that is long already.
    Long,
}

impl Load {
    /// All of them.
    pub const ALL: [Load; 4] = [Load::Whole, Load::Full, Load::Paced, Load::Long];

    /// Its name in the report.
    pub fn name(self) -> &'static str {
        match self {
            Load::Whole => "whole",
            Load::Full => "stream",
            Load::Paced => "paced",
            Load::Long => "long",
        }
    }

    /// Numbers of clients at once.
    pub fn clients(self) -> &'static [u32] {
        match self {
            Load::Long => &[1],
            _ => &[1, 16, 64],
        }
    }

    fn model(self) -> &'static str {
        match self {
            Load::Paced => PACED_MODEL,
            _ => "bench",
        }
    }

    /// Whether answers come in chunks.
    pub fn streams(self) -> bool {
        matches!(self, Load::Full | Load::Paced)
    }

    /// Bodies of a session's calls.
    fn bodies(self) -> &'static [String] {
        static BODIES: LazyLock<[Vec<String>; 4]> = LazyLock::new(|| Load::ALL.map(conversation));
        &BODIES[self as usize]
    }
}

fn conversation(load: Load) -> Vec<String> {
    let model = load.model();
    let mut messages = vec![json!({"role": "system", "content": "You explain locks."})];
    if load == Load::Long {
        for n in 0..LONG_MESSAGES {
            let role = if n % 2 == 0 { "user" } else { "assistant" };
            let said = format!("{n}.{}", upstream::answer().repeat(3));
            messages
                .push(json!({"role": role, "content": said.get(..LONG_BYTES).unwrap_or(&said)}));
        }
    }
    (0..TURNS)
        .map(|turn| {
            messages.push(
                json!({"role": "user", "content": format!("Question {turn}: what is a lock?")}),
            );
            let body = json!({"model": model, "stream": load.streams(), "messages": messages});
            messages.push(json!({"role": "assistant", "content": upstream::answer()}));
            body.to_string()
        })
        .collect()
}

/// What clients saw. Times in nanoseconds.
#[derive(Default)]
pub struct Seen {
    /// From sending a request to the first chunk of its answer; of a whole answer, to its end.
    pub first: Vec<u64>,
    /// From a chunk's write at the upstream to its arrival; none behind a proxy that writes times of its own over it.
    pub chunk: Vec<u64>,
    /// Chunks that came.
    pub chunks: usize,
    /// Answers that came to their end.
    pub calls: u64,
    /// How long it took, seconds.
    pub seconds: f64,
}

impl Seen {
    /// Adds what was seen elsewhere, or at another time.
    pub fn add(&mut self, other: Seen) {
        self.first.extend(other.first);
        self.chunk.extend(other.chunk);
        self.chunks += other.chunks;
        self.calls += other.calls;
        self.seconds += other.seconds;
    }
}

/// Loads a server with so many clients at once.
///
/// # Errors
/// A call failed: what is measured then is worth nothing.
pub async fn run(
    server: SocketAddr,
    (load, api): (Load, Api),
    clients: u32,
    amount: Amount,
) -> anyhow::Result<Seen> {
    let began = Instant::now();
    let (calls, duration) = match amount {
        Amount::Some => (MOST_CALLS.div_ceil(clients.into()), DURATION),
        Amount::Calls(calls) => (calls, Duration::MAX),
    };
    let mut tasks = JoinSet::new();
    for client in 0..clients {
        tasks.spawn(async move {
            if load == Load::Paced {
                tokio::time::sleep(PACE * client / clients).await;
            }
            let mut agent = Agent::connect(server, load, api).await?;
            let mut seen = Seen::default();
            loop {
                agent.call(&mut seen).await?;
                if load == Load::Paced || seen.calls >= calls || began.elapsed() >= duration {
                    return anyhow::Ok(seen);
                }
            }
        });
    }
    let mut all = Seen::default();
    while let Some(seen) = tasks.join_next().await {
        all.add(seen.context("a client was interrupted")??);
    }
    all.seconds = began.elapsed().as_secs_f64();
    Ok(all)
}

/// One client.
struct Agent {
    stream: BufReader<TcpStream>,
    server: SocketAddr,
    load: Load,
    api: Api,
    session: u64,
    turn: usize,
    /// What came of the answer and is not read yet.
    rest: Vec<u8>,
}

impl Agent {
    async fn connect(server: SocketAddr, load: Load, api: Api) -> anyhow::Result<Agent> {
        let stream = TcpStream::connect(server).await?;
        stream.set_nodelay(true)?;
        Ok(Agent {
            stream: BufReader::with_capacity(64 * 1024, stream),
            server,
            load,
            api,
            session: 0,
            turn: TURNS,
            rest: Vec::new(),
        })
    }

    async fn call(&mut self, seen: &mut Seen) -> anyhow::Result<()> {
        let request = self.request();
        let sent = clock::now();
        self.stream.get_mut().write_all(request.as_bytes()).await?;
        let head = http::head(&mut self.stream).await?.context("no answer")?;
        if !head.first.contains(" 200 ") {
            http::append(
                &mut self.stream,
                &mut self.rest,
                head.length.unwrap_or_default(),
            )
            .await?;
            bail!(
                "the server answered {}: {}",
                head.first.trim(),
                String::from_utf8_lossy(&self.rest)
            );
        }
        self.rest.clear();
        let chunks = seen.chunks;
        if head.chunked {
            while http::chunk(&mut self.stream, &mut self.rest).await? {
                self.read(sent, seen, chunks);
            }
        } else {
            http::append(
                &mut self.stream,
                &mut self.rest,
                head.length.unwrap_or_default(),
            )
            .await?;
        }
        match self.load {
            Load::Whole | Load::Long => seen.first.push(clock::now() - sent),
            // A proxy may add one of its own.
            _ if seen.chunks - chunks < upstream::CHUNKS => {
                bail!(
                    "{} of {} chunks came",
                    seen.chunks - chunks,
                    upstream::CHUNKS
                )
            }
            _ => {}
        }
        seen.calls += 1;
        Ok(())
    }

    /// Reads complete lines; `before` says how many chunks were seen before this answer.
    fn read(&mut self, sent: u64, seen: &mut Seen, before: usize) {
        let now = clock::now();
        let end = self
            .rest
            .iter()
            .rposition(|byte| *byte == b'\n')
            .map_or(0, |at| at + 1);
        for line in self
            .rest
            .get(..end)
            .unwrap_or_default()
            .split(|byte| *byte == b'\n')
        {
            let stamp = stamp_of(line);
            if let Some(stamp) = stamp {
                if seen.chunks == before {
                    seen.first.push(now - sent);
                }
                seen.chunks += 1;
                if (sent..=now).contains(&stamp) {
                    seen.chunk.push(now - stamp);
                }
            }
        }
        if self.load.streams() {
            self.rest.drain(..end);
        }
    }

    fn request(&mut self) -> String {
        static SESSIONS: AtomicU64 = AtomicU64::new(0);
        if self.turn == TURNS {
            self.session = SESSIONS.fetch_add(1, Ordering::Relaxed);
            self.turn = 0;
        }
        let model = self.load.model();
        let body = match self.api {
            Api::Chat => Cow::Borrowed(self.load.bodies().get(self.turn).map_or("", |b| b)),
            api => Cow::Owned(api.body(model, &format!("Question {}", self.turn))),
        };
        self.turn += 1;
        let path = self.api.path(model);
        format!(
            "POST {path} HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer bench\r\nx-airlock-session-id: bench-{}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            self.server,
            self.session,
            body.len(),
        )
    }
}

/// When a chunk was sent: its `created`, which the upstream sets so. What stands beside an event's data does not pass where
/// somebody judges, and the last chunk bears a 1.
fn stamp_of(line: &[u8]) -> Option<u64> {
    const FIELD: &[u8] = b"\"created\":";
    let at = line.windows(FIELD.len()).position(|w| w == FIELD)?;
    let number = line.get(at + FIELD.len()..)?;
    let digits = number.iter().take_while(|byte| byte.is_ascii_digit());
    let stamp = std::str::from_utf8(number.get(..digits.count())?).ok()?;
    stamp.parse().ok().filter(|stamp| *stamp > 1)
}
