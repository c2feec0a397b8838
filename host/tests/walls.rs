//! The walls of the house: who may import whom, and that no circle of files exists anywhere.
//!
//! A room is a module at the root of one of the three crates; a crate's own tests are no part of it. An import counts for the
//! file that defines what is imported: re-exports are looked through. What is not seen here: methods, and glob imports.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// The rooms of each crate, the highest first. Those of one line do not import each other.
const ROOMS: [(&str, &[&[&str]]); 3] = [
    (
        "airlock",
        &[
            &["main"],
            &["cli"],
            &["demo"],
            &["serve", "client"],
            &["admin"],
            &["gateway"],
            &["failure"],
            &["config"],
            &["ask"],
            &["upstream", "render", "simulate"],
            &["builtin"],
        ],
    ),
    (
        "airlock_core",
        &[
            &["exchange"],
            &["act"],
            &["release"],
            &["prompt", "reason", "people"],
            &["session"],
            &["dialect", "observe", "store"],
            &["event"],
        ],
    ),
    ("airlock_policy", &[]),
];

/// Rooms that are imported by nobody but these, from outside their own crate or within it.
const DOORS: [(&str, &[&str]); 3] = [
    ("gateway", &["admin", "serve"]),
    ("exchange", &["gateway"]),
    (
        "config",
        &[
            "gateway", "admin", "cli", "demo", "serve", "client", "failure",
        ],
    ),
];

/// What no file of core may name: HTTP belongs to the program.
const NOT_IN_CORE: [&str; 6] = ["http", "http_body", "axum", "hyper", "tower", "clap"];

/// Lines of code beyond which a file is parted.
const LONGEST: usize = 500;

/// A file as a module: its crate, then its path in it.
type Module = Vec<String>;

struct Source {
    /// Without tests and comments.
    code: String,
    lines: usize,
}

/// All files of the three crates.
fn sources() -> BTreeMap<Module, Source> {
    let host = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut sources = BTreeMap::new();
    for (name, folder) in [
        ("airlock", "src"),
        ("airlock_core", "core/src"),
        ("airlock_policy", "policy/src"),
    ] {
        let root = host.join(folder);
        for file in files(&root) {
            let text = std::fs::read_to_string(&file).unwrap();
            let mut module = vec![name.to_owned()];
            let path = file.strip_prefix(&root).unwrap().with_extension("");
            let path = path.iter().map(|part| part.to_str().unwrap().to_owned());
            module.extend(path.filter(|part| part != "lib"));
            let source = Source {
                lines: text.lines().count(),
                code: code(&text),
            };
            sources.insert(module, source);
        }
    }
    sources
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
    found
}

fn is_test(module: &Module) -> bool {
    let tests = |part: &String| part == "tests" || part.ends_with("_tests");
    module.iter().skip(1).any(tests)
}

/// The text without its tests at the end, and without comments.
fn code(text: &str) -> String {
    let tests = text.find("\n#[cfg(test)]\nmod ").filter(|at| {
        let rest = &text[*at..];
        rest.find('{').unwrap_or(usize::MAX) < rest.find(';').unwrap_or(usize::MAX)
    });
    let text = &text[..tests.unwrap_or(text.len())];
    let lines = text.lines().map(|line| match line.find("//") {
        Some(at) if !line[..at].contains('"') => &line[..at],
        _ => line,
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// A `use` item: what it names, absolute, and under which name, and whether it is passed on.
struct Use {
    path: Module,
    name: String,
    public: bool,
}

/// An absolute path, as seen from a module.
fn absolute(at: &Module, path: &[&str], modules: &BTreeMap<Module, Source>) -> Option<Module> {
    let mut base = at.clone();
    let mut rest = path;
    match *path.first()? {
        "crate" => {
            base.truncate(1);
            rest = &path[1..];
        }
        "self" => rest = &path[1..],
        "super" => {}
        name if ROOMS.iter().any(|(own, _)| *own == name) => {
            base = vec![name.to_owned()];
            rest = &path[1..];
        }
        name => {
            base.push(name.to_owned());
            modules.contains_key(&base).then_some(())?;
            rest = &path[1..];
        }
    }
    while rest.first() == Some(&"super") {
        base.pop();
        rest = &rest[1..];
    }
    base.extend(rest.iter().map(|part| (*part).to_owned()));
    Some(base)
}

/// The `use` items of a file.
fn uses(at: &Module, code: &str, modules: &BTreeMap<Module, Source>) -> Vec<Use> {
    let mut found = Vec::new();
    for (start, _) in code.match_indices("use ") {
        let before = code[..start].rfind('\n').map_or(0, |at| at + 1);
        let lead = code[before..start].trim();
        if !(lead.is_empty() || lead.starts_with("pub")) {
            continue;
        }
        let Some(end) = code[start..].find(';') else {
            continue;
        };
        let item: String = code[start + 4..start + end]
            .split_whitespace()
            .collect::<Vec<_>>()
            .join(" ");
        let (prefix, names) = match item.split_once("::{") {
            Some((prefix, names)) => (
                prefix.to_owned(),
                names
                    .trim_end_matches('}')
                    .split(',')
                    .map(|name| name.trim().to_owned())
                    .filter(|name| !name.is_empty())
                    .collect(),
            ),
            None => match item.rsplit_once("::") {
                Some((prefix, name)) => (prefix.to_owned(), vec![name.to_owned()]),
                None => (String::new(), vec![item.clone()]),
            },
        };
        for name in names {
            let (name, alias) = match name.split_once(" as ") {
                Some((name, alias)) => (name.to_owned(), alias.to_owned()),
                None => (name.clone(), name),
            };
            let mut path: Vec<&str> = prefix.split("::").filter(|part| !part.is_empty()).collect();
            // In a module of this file, the one above it is the file.
            if code[before..start].starts_with(' ') && path.first() == Some(&"super") {
                path[0] = "self";
            }
            path.extend(name.split("::").filter(|part| *part != "self"));
            let Some(path) = absolute(at, &path, modules) else {
                continue;
            };
            let name = match alias.as_str() {
                "self" => path.last().unwrap().clone(),
                alias => alias.to_owned(),
            };
            found.push(Use {
                path,
                name,
                public: lead.starts_with("pub"),
            });
        }
    }
    found
}

/// The code without its `use` items.
fn without_uses(code: &str) -> String {
    let mut left = String::new();
    let mut inside = false;
    for line in code.lines() {
        let item = line.trim_start().trim_start_matches("pub ");
        inside |= item.starts_with("use ") || (item.starts_with("pub(") && item.contains(") use "));
        if !inside {
            left.push_str(line);
            left.push('\n');
        }
        inside &= !line.contains(';');
    }
    left
}

/// Paths in the code itself, apart from `use` items: `crate::a::b`, and `name::item` for what was imported.
fn paths(code: &str) -> Vec<Vec<&str>> {
    let mut found = Vec::new();
    let bytes = code.as_bytes();
    let is_word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    let mut at = 0;
    while at < bytes.len() {
        if !is_word(bytes[at])
            || (at > 0 && (is_word(bytes[at - 1]) || b":.$".contains(&bytes[at - 1])))
        {
            at += 1;
            continue;
        }
        let mut end = at;
        while end < bytes.len() && (is_word(bytes[end]) || code[end..].starts_with("::")) {
            end += if bytes[end] == b':' { 2 } else { 1 };
        }
        let path: Vec<&str> = code[at..end]
            .split("::")
            .filter(|p| !p.is_empty())
            .collect();
        if path.len() > 1 {
            found.push(path);
        }
        at = end.max(at + 1);
    }
    found
}

/// Which files import from which.
fn imports(sources: &BTreeMap<Module, Source>) -> BTreeMap<Module, BTreeSet<Module>> {
    let sources: BTreeMap<Module, Source> = sources
        .iter()
        .filter(|(module, _)| !is_test(module))
        .map(|(module, source)| {
            let source = Source {
                code: source.code.clone(),
                lines: source.lines,
            };
            (module.clone(), source)
        })
        .collect();
    let all: BTreeMap<&Module, Vec<Use>> = sources
        .iter()
        .map(|(module, source)| (module, uses(module, &source.code, &sources)))
        .collect();
    let passed_on: BTreeMap<(&Module, &str), &Module> = all
        .iter()
        .flat_map(|(module, uses)| {
            let public = uses.iter().filter(|u| u.public);
            public.map(move |u| ((*module, u.name.as_str()), &u.path))
        })
        .collect();
    let defining = |path: &Module| -> Option<Module> {
        let mut path = path.clone();
        for _ in 0..8 {
            let length = (1..=path.len())
                .rev()
                .find(|n| sources.contains_key(&path[..*n]))?;
            let module = path[..length].to_vec();
            let Some(name) = path.get(length) else {
                return Some(module);
            };
            match passed_on.get(&(&module, name.as_str())) {
                Some(further) => {
                    let mut further = (*further).clone();
                    further.extend(path[length + 1..].iter().cloned());
                    path = further;
                }
                None => return Some(module),
            }
        }
        None
    };
    let mut imports: BTreeMap<Module, BTreeSet<Module>> = BTreeMap::new();
    for (module, uses) in &all {
        let into = imports.entry((*module).clone()).or_default();
        // What a file only passes on of its own children is no import.
        let own = |u: &&Use| !(u.public && u.path.starts_with(module));
        into.extend(uses.iter().filter(own).filter_map(|u| defining(&u.path)));
        let named: BTreeMap<&str, &Module> =
            uses.iter().map(|u| (u.name.as_str(), &u.path)).collect();
        for path in paths(&without_uses(&sources[*module].code)) {
            let full = match named.get(path[0]) {
                Some(base) => {
                    let mut full = (*base).clone();
                    full.extend(path[1..].iter().map(|part| (*part).to_owned()));
                    Some(full)
                }
                None if path[0].starts_with(char::is_lowercase) => {
                    absolute(module, &path, &sources)
                }
                None => None,
            };
            into.extend(full.and_then(|full| defining(&full)));
        }
        into.remove(*module);
    }
    imports
}

/// How high a room is; `None` for a crate without rooms, and for its root.
fn height(module: &Module) -> Option<(usize, usize)> {
    let (storey, (_, rooms)) = ROOMS
        .iter()
        .enumerate()
        .find(|(_, (name, _))| *name == module[0])?;
    let room = module.get(1)?;
    let line = rooms
        .iter()
        .position(|line| line.contains(&room.as_str()))?;
    Some((storey, line))
}

fn shown(module: &Module) -> String {
    module.join("/")
}

#[test]
fn every_room_has_its_place() {
    for module in sources().keys().filter(|module| module.len() > 1) {
        if module[0] != "airlock_policy" {
            assert!(
                height(module).is_some(),
                "{} stands in no line of ROOMS",
                shown(module)
            );
        }
    }
}

#[test]
fn rooms_import_only_rooms_below_them() {
    let mut upward = Vec::new();
    for (from, into) in imports(&sources()) {
        for to in into {
            let (Some(from_at), to_at) = (height(&from), height(&to)) else {
                continue;
            };
            let above = to_at.is_some_and(|to_at| to_at <= from_at);
            if from[..2] != to[..2.min(to.len())] && above {
                upward.push(format!("{} -> {}", shown(&from), shown(&to)));
            }
        }
    }
    assert!(upward.is_empty(), "{}", upward.join("\n"));
}

#[test]
fn doors_are_used_only_by_whom_they_are_for() {
    let mut past = Vec::new();
    for (from, into) in imports(&sources()) {
        for to in into.iter().filter(|to| to.len() > 1) {
            for (room, allowed) in DOORS {
                let inside = from.get(1) == to.get(1) && from[0] == to[0];
                let by = from.get(1).map_or("", String::as_str);
                if to[1] == room && !inside && !allowed.contains(&by) {
                    past.push(format!("{} -> {}", shown(&from), shown(to)));
                }
            }
        }
    }
    assert!(past.is_empty(), "{}", past.join("\n"));
}

#[test]
fn no_circle_of_files_exists() {
    let imports = imports(&sources());
    // Whatever imports nothing that is left, or is imported by nothing that is left, is taken away; what remains goes in circles.
    let mut left: BTreeMap<&Module, BTreeSet<&Module>> = imports
        .iter()
        .map(|(from, into)| (from, into.iter().collect()))
        .collect();
    loop {
        let imported: BTreeSet<&Module> = left.values().flatten().copied().collect();
        let free: Vec<&Module> = left
            .iter()
            .filter(|(from, into)| {
                !imported.contains(*from) || !into.iter().any(|to| left.contains_key(*to))
            })
            .map(|(from, _)| *from)
            .collect();
        if free.is_empty() {
            break;
        }
        for module in free {
            left.remove(module);
        }
    }
    let circles: Vec<String> = left
        .iter()
        .map(|(from, into)| {
            let into = into.iter().filter(|to| left.contains_key(**to));
            let into: Vec<String> = into.map(|to| shown(to)).collect();
            format!("{} -> {}", shown(from), into.join(", "))
        })
        .collect();
    assert!(circles.is_empty(), "{}", circles.join("\n"));
}

#[test]
fn core_names_nothing_of_http() {
    for (module, source) in sources().iter().filter(|(m, _)| m[0] == "airlock_core") {
        for path in paths(&source.code) {
            assert!(
                !NOT_IN_CORE.contains(&path[0]),
                "{} names {}",
                shown(module),
                path.join("::")
            );
        }
    }
}

#[test]
fn what_decides_reads_no_clock() {
    let timeless = ["exchange", "act", "release", "prompt"];
    for (module, source) in sources() {
        let room = module.get(1).map_or("", String::as_str);
        if module[0] != "airlock_core" || !timeless.contains(&room) || is_test(&module) {
            continue;
        }
        for clock in ["clock::now", "Instant::now", "SystemTime::now"] {
            assert!(
                !source.code.contains(clock),
                "{} reads {clock}",
                shown(&module)
            );
        }
    }
}

#[test]
fn no_file_is_long() {
    for (module, source) in sources() {
        assert!(
            source.lines <= LONGEST,
            "{} has {} lines",
            shown(&module),
            source.lines
        );
    }
}
