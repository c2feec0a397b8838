//! What callgrind counted: instructions of a program by part of it.
//!
//! Counted are instructions of the program itself, not of the kernel on its behalf; and only where they were executed, not
//! on whose behalf: what was inlined counts for the function that it was inlined into.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

/// Parts of the program, in the order in which a function's name is looked at, with what names of their functions hold.
/// What no line fits belongs to `other`; a thread that runs SQLite is the store's.
const PARTS: [(&str, &[&str]); 9] = [
    (
        "memory",
        &[
            "malloc", "free", "calloc", "realloc", "memcpy", "memmove", "memset", "memcmp",
            "memalign", "mi_", "__rdl_", "__rust_",
        ],
    ),
    ("hash", &["sha2::", "sha256", "digest::", "block_buffer"]),
    ("tokens", &["tiktoken", "observe::tokens", "fancy_regex"]),
    (
        "policies",
        &["wasmtime", "airlock_policy", "cranelift", "???", "0x0000"],
    ),
    (
        "reason",
        &[
            "airlock_core::reason",
            "airlock_core::act",
            "aho_corasick",
            "regex_automata",
        ],
    ),
    (
        "parse",
        &[
            "airlock_core::dialect",
            "serde_json",
            "memchr",
            "serde_core",
            "from_utf8",
            "core::num",
        ],
    ),
    (
        "session",
        &[
            "airlock_core::session",
            "airlock_core::store",
            "airlock_core::event",
            "airlock_core::observe",
        ],
    ),
    ("exchange", &["airlock_core"]),
    (
        "http",
        &[
            "hyper",
            "http",
            "axum",
            "tower",
            "tokio",
            "mio::",
            "airlock::",
            "futures",
            "bytes::",
            "epoll",
            "write",
            "recv",
            "send",
            "pthread",
            "syscall",
            "parking_lot",
            "sharded_slab",
            "tracing",
        ],
    ),
];

/// Instructions by part, and by function within all.
#[derive(Default)]
pub struct Counted {
    /// Parts, most first.
    pub parts: Vec<(String, u64)>,
    /// Functions, most first.
    pub functions: Vec<(String, u64)>,
}

impl Counted {
    /// All instructions.
    pub fn total(&self) -> u64 {
        self.parts.iter().map(|(_, count)| count).sum()
    }

    /// Reads what was written for each thread: the files whose name begins with `out`.
    ///
    /// # Errors
    /// There is none, or it cannot be read.
    pub fn read(out: &Path) -> anyhow::Result<Self> {
        let (mut parts, mut functions) =
            (HashMap::<String, u64>::new(), HashMap::<String, u64>::new());
        for file in files(out)? {
            let text = fs::read_to_string(&file)
                .with_context(|| format!("cannot read {}", file.display()))?;
            let counts = by_function(&text);
            let is_stores = counts.keys().any(|name| name.starts_with("sqlite3_step"));
            for (name, count) in counts {
                let part = if is_stores { "store" } else { part_of(&name) };
                *parts.entry(part.to_owned()).or_default() += count;
                let named = if is_stores {
                    format!("[store] {name}")
                } else {
                    name
                };
                *functions.entry(named).or_default() += count;
            }
        }
        Ok(Self {
            parts: sorted(parts),
            functions: sorted(functions),
        })
    }
}

fn files(out: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let folder = out.parent().context("no folder")?;
    let prefix = out
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    let entries = fs::read_dir(folder)?.flatten();
    let files: Vec<PathBuf> = entries
        .filter(|entry| entry.file_name().to_string_lossy().starts_with(&prefix))
        .map(|entry| entry.path())
        .collect();
    anyhow::ensure!(
        !files.is_empty(),
        "callgrind wrote nothing at {}",
        out.display()
    );
    Ok(files)
}

fn sorted(counts: HashMap<String, u64>) -> Vec<(String, u64)> {
    let mut sorted: Vec<_> = counts.into_iter().filter(|(_, count)| *count > 0).collect();
    sorted.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    sorted
}

fn part_of(function: &str) -> &'static str {
    let fits = |words: &&[&str]| words.iter().any(|word| function.contains(word));
    PARTS
        .iter()
        .find(|(_, words)| fits(words))
        .map_or("other", |(part, _)| part)
}

/// Instructions of each function itself. In callgrind's format a function begins with `fn=(ID) NAME`, of which later
/// mentions leave the name out; a line of cost begins with a position; the one after `calls=` is that of the callee.
fn by_function(text: &str) -> HashMap<String, u64> {
    let mut names: HashMap<&str, &str> = HashMap::new();
    let mut counts: HashMap<&str, u64> = HashMap::new();
    let (mut current, mut callees) = ("", false);
    for line in text.lines() {
        if let Some((kind, name)) = line.split_once('=')
            && matches!(kind, "fn" | "cfn")
        {
            let (id, name) = name.split_once(' ').unwrap_or((name, ""));
            if !name.is_empty() {
                names.insert(id, name);
            }
            if kind == "fn" {
                current = id;
            }
        } else if line.starts_with("calls=") {
            callees = true;
        } else if line.starts_with(|first: char| first.is_ascii_digit() || "+-*".contains(first)) {
            let cost = line
                .split_whitespace()
                .nth(1)
                .and_then(|cost| cost.parse::<u64>().ok());
            if !std::mem::take(&mut callees) {
                *counts.entry(current).or_default() += cost.unwrap_or_default();
            }
        }
    }
    let mut named = HashMap::new();
    for (id, count) in counts {
        let name = names.get(id).copied().unwrap_or(id);
        *named.entry(name.to_owned()).or_default() += count;
    }
    named
}
