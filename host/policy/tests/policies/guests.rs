//! Small components for tests, made without any guest toolchain: a core module in text form that follows the canonical
//! ABI by hand, wrapped by the component encoder.
//!
//! The well-behaved guest counts its calls. Each assessment has one finding, `guest.seen`, whose summary has as many
//! letters as there were calls (at most 200); `save` writes the count and `restore` reads it. A guest that misbehaves
//! differs from it in one function body. A guest with a subscription of its own finds nothing by itself.
//!
//! In a function body these stand for addresses: `{error}` of a result that is the guest's error, `{assessment}` and
//! `{decision}` of what is returned otherwise, `{saved}` of what `save` returns, and `{a0}`, `{a1}`, ... of the assessments
//! that the guest brings. Each is a result: a word that says which case, and then what the case holds.

// The tests of other crates take this file by its path.
#[path = "guests/abi.rs"]
mod abi;

use std::path::Path;

use serde_json::{Value, json};
use wit_component::{ComponentEncoder, StringEncoding};
use wit_parser::{Resolve, SizeAlign};

use abi::{Abi, Data};

/// A guest to be built.
#[derive(Clone)]
pub struct Guest {
    pub world: &'static str,
    /// What it calls itself.
    pub name: &'static str,
    pub version: &'static str,
    pub actions: Vec<&'static str>,
    pub asks: Vec<&'static str>,
    pub schema: &'static str,
    pub state_schema: u32,
    /// Words of its error.
    pub error: String,
    /// What `configure` returns, in the contract's words: records as objects, cases as `{"case": payload}`, options as the
    /// value or null.
    pub subscription: Option<Value>,
    /// Assessments that `observe` may return instead of the usual one.
    pub assessments: Vec<Value>,
    /// What `decide` returns.
    pub decision: Option<Value>,
    /// Each runs at the start of its function, and may `return` the address of another answer. `(global.get $count)` is the
    /// number of calls of `observe` and `decide` so far, this one included.
    pub describe: &'static str,
    pub configure: &'static str,
    pub start: &'static str,
    pub restore: &'static str,
    pub observe: &'static str,
    pub decide: &'static str,
    pub save: &'static str,
    /// Imports, functions and data of its own; data from address 30,000 on.
    pub extra: &'static str,
    /// Replacements in the contract's text, for guests built against another one.
    pub contract: Vec<(&'static str, &'static str)>,
    /// Further packages that the contract's text refers to then.
    pub packages: Vec<&'static str>,
    /// Bytes of custom section `airlock:golden`.
    pub golden: Option<String>,
    /// Pages of memory at the start.
    pub pages: u32,
}

impl Default for Guest {
    fn default() -> Self {
        Self {
            world: "policy",
            name: "guard",
            version: "1.0.0",
            actions: vec!["annotate"],
            asks: vec![],
            schema: "",
            state_schema: 1,
            error: "it cannot".into(),
            subscription: None,
            assessments: vec![],
            decision: None,
            describe: "",
            configure: "",
            start: "",
            restore: "",
            observe: "",
            decide: "",
            save: "",
            extra: "",
            contract: vec![],
            packages: vec![],
            golden: None,
            pages: 2,
        }
    }
}

/// Where a guest may put data of its own.
const OWN: u32 = 30_000;
/// Where that ends and arguments begin.
const HEAP: u32 = 32_768;
/// Address of 4 bytes with the count, as `save` returns them.
const COUNT: u32 = 8;
/// Where a finding has the length of its summary.
const SUMMARY_LENGTH: u32 = 52;
/// The contract's version, as it stands in the names of interfaces.
const VERSION: &str = "@0.2.0";

impl Guest {
    /// A guest that differs only in what `observe` does first.
    pub fn observing(observe: &'static str) -> Self {
        Self {
            observe,
            ..Self::default()
        }
    }

    /// The same under another name.
    pub fn named(&self, name: &'static str) -> Self {
        Self {
            name,
            ..self.clone()
        }
    }

    /// The component.
    pub fn build(&self) -> Vec<u8> {
        let version = self
            .contract
            .iter()
            .find(|(from, _)| *from == VERSION)
            .map_or(VERSION, |(_, to)| to);
        let (resolve, world) = self.resolve();
        let text = self.core(&resolve).replace("@VERSION", version);
        let mut module = wat::parse_str(&text).unwrap_or_else(|e| panic!("{e}\n{text}"));
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
        let mut folders = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors();
        let source = folders.find_map(|folder| Some(folder.join("wit")).filter(|wit| wit.is_dir()));
        let source = source.unwrap();
        let mut made = vec![false; self.contract.len()];
        for entry in std::fs::read_dir(source).unwrap() {
            let path = entry.unwrap().path();
            let Some(file) = path
                .file_name()
                .filter(|_| path.extension() == Some("wit".as_ref()))
            else {
                continue;
            };
            let mut text = std::fs::read_to_string(&path).unwrap();
            for ((from, to), made) in self.contract.iter().zip(&mut made) {
                *made |= text.contains(from);
                text = text.replace(from, to);
            }
            std::fs::write(dir.path().join(file), text).unwrap();
        }
        assert!(
            made.iter().all(|made| *made),
            "the contract has no such text: {:?}",
            self.contract
        );
        let mut resolve = Resolve::default();
        for package in &self.packages {
            resolve.push_str("package.wit", package).unwrap();
        }
        let (package, _) = resolve.push_path(dir.path()).unwrap();
        let world = resolve.select_world(&[package], Some(self.world)).unwrap();
        (resolve, world)
    }

    fn core(&self, resolve: &Resolve) -> String {
        let mut sizes = SizeAlign::default();
        sizes.fill(resolve);
        let abi = Abi { resolve, sizes };
        // The first 64 bytes are scratch: the count, and the results that are made in place.
        let mut data = Data { bytes: vec![0; 64] };
        let usual = match self.subscription {
            Some(_) => json!({}),
            None => json!({ "findings": [{
                "kind": "guest.seen", "severity": "info", "confidence": 0.5, "subject": "session",
                "summary": "x".repeat(200), "data": "",
            }] }),
        };
        let assessment = abi.put(&mut data, "assessment", &usual);
        let decision = self.decision.clone().unwrap_or_else(|| json!({}));
        let decision = abi.put(&mut data, "decision", &decision);
        let description = json!({
            "name": self.name, "version": self.version, "licence": "Apache-2.0", "summary": "A guest for tests.",
            "actions": self.actions, "asks": self.asks, "settings-schema": self.schema,
            "addresses": ["owasp-llm:2026/LLM01"], "state-schema": self.state_schema,
        });
        let description = abi.put(&mut data, "description", &description);
        let subscription = self
            .subscription
            .clone()
            .unwrap_or_else(|| json!({ "wakes": [{ "event": "text" }], "findings": ["guest.*"] }));
        let subscription = abi.put(&mut data, "subscription", &subscription);
        let error = data.pair(&self.error);
        let error = data.words(&[1, error[0], error[1]]);
        let saved = data.words(&[0, COUNT, 4]);
        let session = data.words(&[0, 0, 0]);
        let assessments: Vec<u32> = self
            .assessments
            .iter()
            .map(|answer| abi.put(&mut data, "assessment", answer))
            .collect();
        let named = [
            ("error", error),
            ("assessment", assessment),
            ("decision", decision),
            ("saved", saved),
        ];
        let fill = |body: &str| {
            let at = |at: u32| format!("(i32.const {at})");
            let body = named.iter().fold(body.to_owned(), |body, (name, address)| {
                body.replace(&format!("{{{name}}}"), &at(*address))
            });
            assessments
                .iter()
                .enumerate()
                .fold(body, |body, (i, address)| {
                    body.replace(&format!("{{a{i}}}"), &at(*address))
                })
        };
        let counts = match self.subscription {
            Some(_) => String::new(),
            None => fill(&format!(
                "(i32.store offset={SUMMARY_LENGTH} (i32.load offset=4 {{assessment}})
                   (select (global.get $count) (i32.const 200) (i32.lt_u (global.get $count) (i32.const 200))))"
            )),
        };
        assert!(data.bytes.len() <= OWN as usize);
        let bytes: String = data.bytes.iter().map(|b| format!("\\{b:02x}")).collect();
        let [describe, configure, start, restore, observe, decide, save] = [
            self.describe,
            self.configure,
            self.start,
            self.restore,
            self.observe,
            self.decide,
            self.save,
        ]
        .map(fill);
        // Parameters that would be more than 16 numbers are one address instead.
        let facts = "i32 i32 i32 i32 i32 i32 i32 i32 i32 i64 i32 i32";
        let batch = "i32 i32 i64 i64 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32";
        let role = |interface: &str, function: &str, params: &str, body: &str, answer: u32| {
            format!(
                r#"
  (func (export "airlock:policy/{interface}@VERSION#{function}") (param {params}) (result i32)
    (global.set $heap (i32.const {HEAP}))
    (global.set $count (i32.add (global.get $count) (i32.const 1)))
    {counts}
    {body}
    (i32.const {answer}))"#
            )
        };
        let mut roles = String::new();
        if !self.world.ends_with("actuator") {
            roles += &role(
                "reasoning",
                "observe",
                &format!("i32 {batch}"),
                &observe,
                assessment,
            );
        }
        if !self.world.ends_with("reasoner") {
            roles += &role("acting", "decide", "i32", &decide, decision);
        }
        let (imports, functions) = hoist(&[&roles, self.extra]);
        let sessions = "airlock:policy/sessions@VERSION";
        format!(
            r#"(module
  (import "[export]{sessions}" "[resource-new]session" (func $new (param i32) (result i32)))
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
  (func (export "airlock:policy/about@VERSION#describe") (result i32)
    {describe}
    (i32.const {description}))
  (func (export "airlock:policy/about@VERSION#configure") (param i32 i32) (result i32)
    {configure}
    (i32.const {subscription}))
  (func $open (result i32)
    (i32.store offset=4 (i32.const {session}) (call $new (i32.const 7)))
    (global.set $heap (i32.const {HEAP}))
    (i32.const {session}))
  (func (export "{sessions}#[static]session.start") (param {facts} i32 i32) (result i32)
    {start}
    (call $open))
  (func (export "{sessions}#[static]session.restore") (param i32) (result i32)
    {restore}
    ;; After facts, settings and schema: address and length of what was saved.
    (global.set $count (i32.load (i32.load offset=68 (local.get 0))))
    (call $open))
  (func (export "{sessions}#[method]session.save") (param i32) (result i32)
    {save}
    (i32.store (i32.const {COUNT}) (global.get $count))
    (i32.const {saved}))
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
