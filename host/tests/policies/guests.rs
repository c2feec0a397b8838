//! Small components for tests, made without any guest toolchain: a core module in text form that follows the canonical
//! ABI by hand, wrapped by the component encoder.
//!
//! The well-behaved guest counts its calls. Each assessment has one finding, `guest.seen`, whose summary has as many
//! letters as there were calls (at most 200); `save` writes the count and `restore` reads it. A guest that misbehaves
//! differs from it in one function body.

use std::path::Path;

use wit_component::{ComponentEncoder, StringEncoding};
use wit_parser::Resolve;

/// A guest to be built.
#[derive(Clone)]
pub struct Guest {
    pub world: &'static str,
    pub name: &'static str,
    pub version: &'static str,
    pub actions: Vec<&'static str>,
    pub asks: Vec<&'static str>,
    pub schema: &'static str,
    pub state_schema: u32,
    /// Returned as the error of `configure`, if not empty.
    pub settings_error: &'static str,
    /// Runs at the start of `open`, `observe`, `decide`. `(global.get $count)` is the number of calls so far, this one
    /// included. `observe` and `decide` may `return` the address of another answer.
    pub open: &'static str,
    pub observe: &'static str,
    pub decide: &'static str,
    /// Runs at the start of `restore`.
    pub restore: &'static str,
    /// Imports and functions of its own.
    pub extra: &'static str,
    /// Replacements in the contract's text, for guests built against another one.
    pub contract: Vec<(&'static str, &'static str)>,
    /// Bytes of custom section `airlock:golden`.
    pub golden: Option<String>,
    /// Pages of memory at the start.
    pub pages: u32,
}

impl Default for Guest {
    fn default() -> Self {
        Self {
            world: "policy",
            name: "guest",
            version: "1.0.0",
            actions: vec!["annotate"],
            asks: vec![],
            schema: "",
            state_schema: 1,
            settings_error: "",
            open: "",
            observe: "",
            decide: "",
            restore: "",
            extra: "",
            contract: vec![],
            golden: None,
            pages: 2,
        }
    }
}

/// Where the data ends and arguments begin.
const HEAP: u32 = 32_768;
/// Address of 4 bytes with the count, as `save` returns them.
const COUNT: u32 = 8;

struct Data {
    bytes: Vec<u8>,
}

impl Data {
    /// Puts bytes at an aligned address and returns it.
    fn put(&mut self, bytes: &[u8]) -> u32 {
        while !self.bytes.len().is_multiple_of(8) {
            self.bytes.push(0);
        }
        let at = u32::try_from(self.bytes.len()).unwrap();
        self.bytes.extend_from_slice(bytes);
        at
    }

    fn pair(&mut self, text: &str) -> [u32; 2] {
        [
            self.put(text.as_bytes()),
            u32::try_from(text.len()).unwrap(),
        ]
    }

    fn list(&mut self, texts: &[&str]) -> [u32; 2] {
        let pairs: Vec<u32> = texts.iter().flat_map(|t| self.pair(t)).collect();
        [self.words(&pairs), u32::try_from(texts.len()).unwrap()]
    }

    fn words(&mut self, words: &[u32]) -> u32 {
        let bytes: Vec<u8> = words.iter().flat_map(|w| w.to_le_bytes()).collect();
        self.put(&bytes)
    }
}

impl Guest {
    /// A guest that differs only in what `observe` does first.
    pub fn observing(observe: &'static str) -> Self {
        Self {
            observe,
            ..Self::default()
        }
    }

    /// The component.
    pub fn build(&self) -> Vec<u8> {
        let version = self
            .contract
            .iter()
            .find(|(from, _)| *from == "@0.1.0")
            .map_or("@0.1.0", |(_, to)| to);
        let text = self.core().replace("@0.1.0", version);
        let mut module = wat::parse_str(&text).unwrap_or_else(|e| panic!("{e}\n{text}"));
        let (resolve, world) = self.resolve();
        wit_component::embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8)
            .unwrap();
        let mut component = ComponentEncoder::default()
            .validate(true)
            .module(&module)
            .unwrap()
            .encode()
            .unwrap();
        if let Some(golden) = &self.golden {
            let mut section = leb(14);
            section.extend_from_slice(b"airlock:golden");
            section.extend_from_slice(golden.as_bytes());
            component.push(0);
            component.extend(leb(section.len()));
            component.extend(section);
        }
        component
    }

    fn resolve(&self) -> (Resolve, wit_parser::WorldId) {
        let dir = tempfile::tempdir().unwrap();
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../wit");
        for file in ["host.wit", "policy.wit", "types.wit"] {
            let mut text = std::fs::read_to_string(source.join(file)).unwrap();
            for (from, to) in &self.contract {
                text = text.replace(from, to);
            }
            std::fs::write(dir.path().join(file), text).unwrap();
        }
        let mut resolve = Resolve::default();
        let (package, _) = resolve.push_path(dir.path()).unwrap();
        let world = resolve.select_world(&[package], Some(self.world)).unwrap();
        (resolve, world)
    }

    fn core(&self) -> String {
        // The first 64 bytes are scratch: the count, and the results that are made in place.
        let mut data = Data { bytes: vec![0; 64] };
        let summary = data.put(&[b'x'; 200]);
        let kind = data.pair("guest.seen");
        // A finding: kind, severity, confidence, summary, evidence, data.
        let finding = data.words(&[kind[0], kind[1], 0, 0x3f00_0000, summary, 0, 0, 0, 0, 0]);
        let assessment = data.words(&[finding, 1, 0, 0, 0, 0]);
        let decision = data.words(&[0, 0, 0, 0]);
        let mut description: Vec<u32> = Vec::new();
        for text in [self.name, self.version, "Apache-2.0", "A guest for tests."] {
            description.extend(data.pair(text));
        }
        description.extend(data.list(&self.actions));
        description.extend(data.list(&self.asks));
        description.extend(data.pair(self.schema));
        description.extend(data.list(&["owasp-llm:2026/LLM01"]));
        description.push(self.state_schema);
        let description = data.words(&description);
        // result<subscription, string>: wakes at 4, patterns, release, sees, findings at 36.
        let configured = if self.settings_error.is_empty() {
            let mut wake = vec![0_u8; 24];
            wake[8] = 4; // event(text)
            let wakes = data.put(&wake);
            let kinds = data.list(&["guest.*"]);
            data.words(&[0, wakes, 1, 0, 0, 0, 0, 0, 0, kinds[0], kinds[1]])
        } else {
            let error = data.pair(self.settings_error);
            data.words(&[1, error[0], error[1], 0, 0, 0, 0, 0, 0, 0, 0])
        };
        let saved = data.words(&[0, COUNT, 4]);
        let session = data.words(&[0, 1]);
        assert!(data.bytes.len() < HEAP as usize);
        let bytes: String = data.bytes.iter().map(|b| format!("\\{b:02x}")).collect();
        let facts = "i32 i32 i32 i32 i32 i32 i32 i64 i32 i32";
        let batch = "i32 i32 i64 i64 i32 i32 i32 i32 i32 i32 i32 i32 i32";
        let role = |interface: &str, method: &str| {
            let (params, body, answer) = match method {
                "observe" => (format!("i32 {batch}"), self.observe, assessment),
                _ => (format!("i32 i32 i32 {batch}"), self.decide, decision),
            };
            let (open, restore) = (self.open, self.restore);
            let prefix = format!("airlock:policy/{interface}@0.1.0");
            format!(
                r#"
  (import "[export]{prefix}" "[resource-new]session" (func $new-{interface} (param i32) (result i32)))
  (func $open-{interface} (result i32)
    (i32.store (i32.const {session}) (i32.const 0))
    (i32.store offset=4 (i32.const {session}) (call $new-{interface} (i32.const 7)))
    (global.set $heap (i32.const {HEAP}))
    (i32.const {session}))
  (func (export "{prefix}#[static]session.open") (param {facts} i32 i32) (result i32)
    {open}
    (call $open-{interface}))
  (func (export "{prefix}#[static]session.restore") (param {facts} i32 i32 i32 i32 i32) (result i32)
    {restore}
    (global.set $count (i32.load (local.get 13)))
    (call $open-{interface}))
  (func (export "{prefix}#[method]session.save") (param i32) (result i32)
    (i32.store (i32.const {COUNT}) (global.get $count))
    (i32.const {saved}))
  (func (export "{prefix}#[method]session.{method}") (param {params}) (result i32)
    (global.set $heap (i32.const {HEAP}))
    (global.set $count (i32.add (global.get $count) (i32.const 1)))
    (i32.store offset=20 (i32.const {finding})
      (select (global.get $count) (i32.const 200) (i32.lt_u (global.get $count) (i32.const 200))))
    {body}
    (i32.const {answer}))"#
            )
        };
        let reasoning = if self.world == "actuator" {
            String::new()
        } else {
            role("reasoning", "observe")
        };
        let acting = if self.world == "reasoner" {
            String::new()
        } else {
            role("acting", "decide")
        };
        let (imports, functions) = hoist(&[&reasoning, &acting, self.extra]);
        format!(
            r#"(module
  {imports}
  (memory (export "memory") {pages})
  (global $count (mut i32) (i32.const 0))
  (global $heap (mut i32) (i32.const {HEAP}))
  (data (i32.const 0) "{bytes}")
  (func $alloc (export "cabi_realloc") (param $old i32) (param $n i32) (param $align i32) (param $new i32) (result i32)
    (local $at i32)
    (local.set $at (i32.and (i32.add (global.get $heap) (i32.const 7)) (i32.const -8)))
    (global.set $heap (i32.add (local.get $at) (local.get $new)))
    (block $fits
      (br_if $fits (i32.le_u (global.get $heap) (i32.shl (memory.size) (i32.const 16))))
      (br_if $fits (i32.ne (i32.const -1) (memory.grow (i32.add (i32.const 1) (i32.shr_u (local.get $new) (i32.const 16))))))
      unreachable)
    (local.get $at))
  (func (export "airlock:policy/about@0.1.0#describe") (result i32) (i32.const {description}))
  (func (export "airlock:policy/about@0.1.0#configure") (param i32 i32) (result i32) (i32.const {configured}))
  {functions})"#,
            pages = self.pages,
        )
    }
}

/// Core modules state their imports first: takes the lines that are imports out of the text.
fn hoist(texts: &[&str]) -> (String, String) {
    let lines = || texts.iter().flat_map(|t| t.lines());
    let is_import = |line: &&str| line.trim_start().starts_with("(import ");
    let imports: Vec<&str> = lines().filter(is_import).collect();
    let rest: Vec<&str> = lines().filter(|l| !is_import(l)).collect();
    (imports.join("\n"), rest.join("\n"))
}

fn leb(mut n: usize) -> Vec<u8> {
    let mut out = Vec::new();
    while n >= 0x80 {
        out.push(u8::try_from(n & 0x7f).unwrap() | 0x80);
        n >>= 7;
    }
    out.push(u8::try_from(n).unwrap());
    out
}
