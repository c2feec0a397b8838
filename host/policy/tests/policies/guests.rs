//! Small components for tests, made without any guest toolchain: a core module in text form that follows the canonical
//! ABI by hand, wrapped by the component encoder.
//!
//! The well-behaved guest counts its calls. Each assessment has one finding, `guest.seen`, whose summary has as many
//! letters as there were calls (at most 200); `save` writes the count and `restore` reads it. A guest that misbehaves
//! differs from it in one function body. A guest with a subscription of its own finds nothing by itself.

use std::path::Path;

use serde_json::Value;
use wit_component::{ComponentEncoder, StringEncoding};
use wit_parser::{Resolve, SizeAlign, Type, TypeDefKind};

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
    /// What `configure` returns, in the contract's words: records as objects, cases as `{"case": payload}`, options as the
    /// value or null.
    pub subscription: Option<Value>,
    /// Assessments that `observe` may return by address: `{a0}`, `{a1}`, ... stand for them in its body.
    pub assessments: Vec<Value>,
    /// What `decide` returns.
    pub decision: Option<Value>,
    /// Runs at the start of `open`, `observe`, `decide`. `(global.get $count)` is the number of calls so far, this one
    /// included. `observe` and `decide` may `return` the address of another answer.
    pub open: &'static str,
    pub observe: &'static str,
    pub decide: &'static str,
    /// Runs at the start of `save`. `{saved}` stands for the address of its answer: a case, an address and a length.
    pub save: &'static str,
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
            subscription: None,
            assessments: vec![],
            decision: None,
            open: "",
            observe: "",
            decide: "",
            save: "",
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
        let (resolve, world) = self.resolve();
        let text = self.core(&resolve).replace("@0.1.0", version);
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
        for file in ["host.wit", "policy.wit", "types.wit"] {
            let mut text = std::fs::read_to_string(source.join(file)).unwrap();
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
        let summary = data.put(&[b'x'; 200]);
        let kind = data.pair("guest.seen");
        // A finding: kind, severity, confidence, summary, evidence, data.
        let finding = data.words(&[kind[0], kind[1], 0, 0x3f00_0000, summary, 0, 0, 0, 0, 0]);
        let found = u32::from(self.subscription.is_none());
        let assessment = data.words(&[finding, found, 0, 0, 0, 0]);
        let decision = match &self.decision {
            Some(decision) => abi.put(&mut data, "decision", decision, &[]),
            None => data.words(&[0, 0, 0, 0]),
        };
        let mut observe = self.observe.to_owned();
        for (i, answer) in self.assessments.iter().enumerate() {
            let at = abi.put(&mut data, "assessment", answer, &[]);
            observe = observe.replace(&format!("{{a{i}}}"), &format!("(i32.const {at})"));
        }
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
        let configured = if let Some(subscription) = &self.subscription {
            abi.put(&mut data, "subscription", subscription, &[0])
        } else if self.settings_error.is_empty() {
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
        let save = self.save.replace("{saved}", &saved.to_string());
        let session = data.words(&[0, 1]);
        assert!(data.bytes.len() < HEAP as usize);
        let bytes: String = data.bytes.iter().map(|b| format!("\\{b:02x}")).collect();
        let facts = "i32 i32 i32 i32 i32 i32 i32 i64 i32 i32";
        let batch = "i32 i32 i64 i64 i32 i32 i32 i32 i32 i32 i32 i32 i32";
        let role = |interface: &str, method: &str| {
            let (params, body, answer) = match method {
                "observe" => (format!("i32 {batch}"), observe.as_str(), assessment),
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
    {save}
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

/// Puts values of the contract's types where the canonical ABI has them.
struct Abi<'a> {
    resolve: &'a Resolve,
    sizes: SizeAlign,
}

impl Abi<'_> {
    /// A value of a named type after some words of a head; its address.
    fn put(&self, data: &mut Data, name: &str, value: &Value, head: &[u32]) -> u32 {
        let (id, _) = self
            .resolve
            .types
            .iter()
            .find(|(_, t)| {
                t.name.as_deref() == Some(name) && !matches!(t.kind, TypeDefKind::Type(_))
            })
            .unwrap_or_else(|| panic!("there is no type {name}"));
        let mut bytes: Vec<u8> = head.iter().flat_map(|word| word.to_le_bytes()).collect();
        bytes.extend(self.bytes(data, &Type::Id(id), value));
        data.put(&bytes)
    }

    fn bytes(&self, data: &mut Data, ty: &Type, value: &Value) -> Vec<u8> {
        let int = || {
            value
                .as_u64()
                .unwrap_or_else(|| panic!("no number: {value}"))
        };
        match ty {
            Type::Bool => vec![u8::from(value.as_bool().unwrap())],
            Type::U8 => vec![u8::try_from(int()).unwrap()],
            Type::U16 => u16::try_from(int()).unwrap().to_le_bytes().to_vec(),
            Type::U32 => u32::try_from(int()).unwrap().to_le_bytes().to_vec(),
            Type::U64 => int().to_le_bytes().to_vec(),
            #[allow(clippy::cast_possible_truncation, reason = "tests state short numbers")]
            Type::F32 => (value.as_f64().unwrap() as f32).to_le_bytes().to_vec(),
            Type::F64 => value.as_f64().unwrap().to_le_bytes().to_vec(),
            Type::String => {
                let text = value
                    .as_str()
                    .unwrap_or_else(|| panic!("no string: {value}"));
                data.pair(text)
                    .iter()
                    .flat_map(|w| w.to_le_bytes())
                    .collect()
            }
            Type::Id(id) => self.defined(data, ty, &self.resolve.types[*id].kind, value),
            other => panic!("{other:?} is not in the contract"),
        }
    }

    fn defined(&self, data: &mut Data, ty: &Type, kind: &TypeDefKind, value: &Value) -> Vec<u8> {
        let mut out = vec![0; self.sizes.size(ty).size_wasm32()];
        let mut place =
            |at: usize, bytes: Vec<u8>| out[at..at + bytes.len()].copy_from_slice(&bytes);
        match kind {
            TypeDefKind::Type(inner) => return self.bytes(data, inner, value),
            TypeDefKind::Enum(e) => {
                let index = e
                    .cases
                    .iter()
                    .position(|c| Some(c.name.as_str()) == value.as_str());
                place(
                    0,
                    vec![u8::try_from(index.unwrap_or_else(|| panic!("{value}"))).unwrap()],
                );
            }
            TypeDefKind::Record(record) => {
                let fields = self
                    .sizes
                    .field_offsets(record.fields.iter().map(|f| &f.ty));
                for (field, (offset, ty)) in record.fields.iter().zip(fields) {
                    place(
                        offset.size_wasm32(),
                        self.bytes(data, ty, &value[&field.name]),
                    );
                }
                for name in value.as_object().unwrap().keys() {
                    assert!(
                        record.fields.iter().any(|f| f.name == *name),
                        "no field {name}"
                    );
                }
            }
            TypeDefKind::Tuple(tuple) => {
                for (i, (offset, ty)) in self
                    .sizes
                    .field_offsets(tuple.types.iter())
                    .into_iter()
                    .enumerate()
                {
                    place(offset.size_wasm32(), self.bytes(data, ty, &value[i]));
                }
            }
            TypeDefKind::List(element) => {
                // An absent list is an empty one.
                let items = value.as_array().map_or(&[][..], Vec::as_slice);
                let bytes: Vec<u8> = items
                    .iter()
                    .flat_map(|item| self.bytes(data, element, item))
                    .collect();
                let (at, len) = (data.put(&bytes), u32::try_from(items.len()).unwrap());
                place(0, [at.to_le_bytes(), len.to_le_bytes()].concat());
            }
            TypeDefKind::Variant(variant) => {
                let (name, payload) = match value {
                    Value::Object(case) => {
                        case.iter().next().map(|(k, v)| (k.as_str(), v)).unwrap()
                    }
                    bare => (bare.as_str().unwrap(), &Value::Null),
                };
                let index = variant.cases.iter().position(|c| c.name == name);
                let index = index.unwrap_or_else(|| panic!("no case {name}"));
                place(0, vec![u8::try_from(index).unwrap()]);
                if let Some(ty) = &variant.cases[index].ty {
                    let cases = variant.cases.iter().map(|c| c.ty.as_ref());
                    let offset = self.sizes.payload_offset(variant.tag(), cases);
                    place(offset.size_wasm32(), self.bytes(data, ty, payload));
                }
            }
            other => panic!("{other:?} is not needed"),
        }
        out
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
