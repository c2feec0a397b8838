//! The public contract is frozen: what is in `wit/` must stay what policies were compiled against.
//!
//! The digest is taken of the parsed package, printed without its documentation: a comment or a line break may be
//! corrected, a name, a type, a case or their order may not. See `wit/README.md`.
//!
//! And it is written so that an author in any language finds their own words free.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::Path;

use sha2::{Digest, Sha256};
use wit_component::WitPrinter;
use wit_parser::{Docs, PackageId, Resolve, TypeDefKind, WorldItem};

/// Version and digest of the contract in `wit/`.
const FROZEN: (&str, &str) = (
    "0.2.0",
    "c1ddc2138f56ab901a7100ce4ee8e6d6ef8e0ff93778cd80bd7c17d1689882f1",
);

/// Files of which `wit/` consists.
const FILES: [&str; 6] = [
    "actions.wit",
    "events.wit",
    "findings.wit",
    "host.wit",
    "policy.wit",
    "subscriptions.wit",
];

fn contract() -> (Resolve, PackageId) {
    let mut resolve = Resolve::default();
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../wit");
    let (package, sources) = resolve.push_path(directory).expect("wit/ is no package");
    let mut files: Vec<&str> = sources
        .package_paths(package)
        .unwrap()
        .filter_map(|path| path.file_name()?.to_str())
        .collect();
    files.sort_unstable();
    assert_eq!(files, FILES);
    (resolve, package)
}

fn digest(resolve: &Resolve, package: PackageId) -> String {
    let mut printer = WitPrinter::default();
    printer.emit_docs(false);
    printer
        .print(resolve, package, &[])
        .expect("the package cannot be printed");
    let hash = Sha256::digest(printer.output.to_string());
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn the_frozen_version_is_not_edited() {
    let (resolve, package) = contract();
    let version = resolve.packages[package]
        .name
        .version
        .as_ref()
        .map(ToString::to_string);
    assert_eq!(version.as_deref(), Some(FROZEN.0));
    assert_eq!(version.as_deref(), Some(airlock_policy::contract::VERSION));
    assert_eq!(
        digest(&resolve, package),
        FROZEN.1,
        "wit/ no longer states contract {}: every policy compiled against it would be refused or misread. Take the change \
         back and make it in a new version beside this one (wit/README.md says how). If wit/ is untouched and only \
         `wit-component` was updated, its way of printing changed: check that `git log wit/` shows no change, then set the \
         new digest here.",
        FROZEN.0
    );
}

#[test]
fn a_changed_comment_is_no_change_and_a_changed_case_is_one() {
    let digest_of = |text: &str| {
        let mut resolve = Resolve::default();
        let package = resolve.push_str("test.wit", text).unwrap();
        digest(&resolve, package)
    };
    let frozen = digest_of("package a:b@0.1.0;\n/// Old words.\ninterface i { enum e { x, y } }");
    let commented = digest_of(
        "package a:b@0.1.0;\r\n/// New words.\r\ninterface i {\r\n  enum e {\r\n  /// X.\r\n  x, y } }",
    );
    let grown = digest_of("package a:b@0.1.0;\n/// Old words.\ninterface i { enum e { x, y, z } }");
    let reordered =
        digest_of("package a:b@0.1.0;\n/// Old words.\ninterface i { enum e { y, x } }");
    assert_eq!(frozen, commented);
    assert_ne!(frozen, grown);
    assert_ne!(frozen, reordered);
}

#[test]
fn every_item_is_documented() {
    let (resolve, package) = contract();
    let mut bare = Vec::new();
    let mut look = |docs: &Docs, path: String| {
        if docs
            .contents
            .as_deref()
            .is_none_or(|text| text.trim().is_empty())
        {
            bare.push(path);
        }
    };
    let package = &resolve.packages[package];
    for (name, id) in &package.worlds {
        let world = &resolve.worlds[*id];
        look(&world.docs, name.clone());
        for (key, item) in world.imports.iter().chain(&world.exports) {
            let path = format!("{name}.{}", resolve.name_world_key(key));
            match item {
                // Looked at below.
                WorldItem::Interface { .. } => {}
                WorldItem::Function(function) => look(&function.docs, path),
                WorldItem::Type { id, .. } => look(&resolve.types[*id].docs, path),
            }
        }
    }
    for (name, id) in &package.interfaces {
        let interface = &resolve.interfaces[*id];
        look(&interface.docs, name.clone());
        // Those of resources too.
        for (function, it) in &interface.functions {
            look(&it.docs, format!("{name}.{function}"));
        }
        for (ty, id) in &interface.types {
            let it = &resolve.types[*id];
            let parts: Vec<(&String, &Docs)> = match &it.kind {
                // `use` of another interface's type.
                TypeDefKind::Type(wit_parser::Type::Id(_)) => continue,
                TypeDefKind::Record(r) => r.fields.iter().map(|f| (&f.name, &f.docs)).collect(),
                TypeDefKind::Variant(v) => v.cases.iter().map(|c| (&c.name, &c.docs)).collect(),
                TypeDefKind::Enum(e) => e.cases.iter().map(|c| (&c.name, &c.docs)).collect(),
                TypeDefKind::Flags(f) => f.flags.iter().map(|f| (&f.name, &f.docs)).collect(),
                _ => Vec::new(),
            };
            look(&it.docs, format!("{name}.{ty}"));
            for (part, docs) in parts {
                look(docs, format!("{name}.{ty}.{part}"));
            }
        }
    }
    assert!(
        bare.is_empty(),
        "without documentation in wit/: {}",
        bare.join(", ")
    );
}

/// What a name of the contract becomes in a language's bindings.
#[derive(Clone, Copy, PartialEq)]
enum Use {
    /// A field of a record.
    Member,
    Function,
    Parameter,
    /// A type, or a case of an enum, of a variant or of flags.
    Type,
}

type Form = fn(&str) -> String;

/// A language, its keywords and the names that it has built in, and the form in which its bindings write a field, a
/// function, a parameter and a type. `None`: members begin with a capital, or stand behind a prefix, as nothing that is built
/// in does.
struct Language {
    name: &'static str,
    words: &'static str,
    /// Names that only a function or a parameter can hide: a function is imported bare, a field stands behind a dot.
    globals: &'static str,
    forms: [Option<Form>; 4],
}

impl Language {
    fn takes(&self, written: &str, used: Use) -> bool {
        let has = |list: &str| list.split(' ').any(|word| word == written);
        let bare = matches!(used, Use::Function | Use::Parameter);
        has(self.words) || bare && has(self.globals)
    }
}

const LANGUAGES: [Language; 5] = [
    Language {
        name: "Rust",
        words: RUST,
        globals: "",
        forms: [Some(snake), Some(snake), Some(snake), Some(pascal)],
    },
    Language {
        name: "C",
        words: C,
        globals: "",
        forms: [Some(snake), Some(snake), Some(snake), Some(pascal)],
    },
    Language {
        name: "JavaScript",
        words: JAVASCRIPT,
        globals: JAVASCRIPT_GLOBALS,
        forms: [Some(camel), Some(camel), Some(camel), Some(pascal)],
    },
    Language {
        name: "Python",
        words: PYTHON,
        globals: "",
        forms: [Some(snake), Some(snake), Some(snake), Some(pascal)],
    },
    Language {
        name: "Go",
        words: GO,
        globals: "",
        forms: [None, None, Some(camel), Some(pascal)],
    },
];

/// Keywords (strict, reserved and weak), primitive types, and what the prelude of edition 2024 brings but macros.
const RUST: &str = "AsMut AsRef AsyncFn AsyncFnMut AsyncFnOnce Box Clone Copy Default DoubleEndedIterator Drop Eq \
    Err ExactSizeIterator Extend Fn FnMut FnOnce From FromIterator Future Into IntoFuture IntoIterator Iterator None \
    Ok Option Ord PartialEq PartialOrd Result Self Send Sized Some String Sync ToOwned ToString TryFrom TryInto Unpin Vec \
    abstract as async auto await become bool box break char const continue crate do drop dyn else enum extern f128 f16 \
    f32 f64 false final fn for gen i128 i16 i32 i64 i8 if impl in isize let loop macro macro_rules match mod move mut \
    override priv pub raw ref return safe self static str struct super trait true try type typeof u128 u16 u32 u64 u8 \
    union unsafe unsized use usize virtual where while yield";

/// Keywords up to C23, those of common extensions too.
const C: &str = "_Alignas _Alignof _Atomic _BitInt _Bool _Complex _Decimal128 _Decimal32 _Decimal64 _Generic _Imaginary \
    _Noreturn _Static_assert _Thread_local alignas alignof asm auto bool break case char const constexpr continue default \
    do double else enum extern false float for fortran goto if inline int long nullptr register restrict return short \
    signed sizeof static static_assert struct switch thread_local true typedef typeof typeof_unqual union unsigned void \
    volatile while";

/// Reserved words, those of strict mode, of modules and of older editions too, and the two names that strict mode protects.
const JAVASCRIPT: &str = "abstract arguments await boolean break byte case catch char class const continue debugger default \
    delete do double else enum eval export extends false final finally float for function goto if implements import in \
    instanceof int interface let long native new null package private protected public return short static super switch \
    synchronized this throw throws transient true try typeof var void volatile while with yield";

/// Globals of the language, and those that the engines for components (SpiderMonkey, QuickJS) bring along.
const JAVASCRIPT_GLOBALS: &str = "AbortController AbortSignal Array ArrayBuffer Atomics BigInt BigInt64Array \
    BigUint64Array Blob Boolean DataView Date Error EvalError Event EventTarget FinalizationRegistry Float32Array \
    Float64Array FormData Function Headers Infinity Int16Array Int32Array Int8Array Iterator JSON Map Math NaN Number \
    Object Promise Proxy RangeError ReadableStream ReferenceError Reflect RegExp Request Response Set \
    SharedArrayBuffer String Symbol SyntaxError TextDecoder TextEncoder TransformStream TypeError URIError URL \
    URLSearchParams Uint16Array Uint32Array Uint8Array Uint8ClampedArray WeakMap WeakRef WeakSet WebAssembly \
    WritableStream atob btoa clearInterval clearTimeout console crypto decodeURI decodeURIComponent encodeURI \
    encodeURIComponent escape eval fetch gc globalThis isFinite isNaN location navigator os parseFloat parseInt \
    performance print process queueMicrotask reportError require scriptArgs self setInterval setTimeout std \
    structuredClone undefined unescape";

/// Keywords, soft ones too, and everything in `builtins` up to 3.14 but names with two underscores.
const PYTHON: &str = "ArithmeticError AssertionError AttributeError BaseException BaseExceptionGroup BlockingIOError \
    BrokenPipeError BufferError BytesWarning ChildProcessError ConnectionAbortedError ConnectionError \
    ConnectionRefusedError ConnectionResetError DeprecationWarning EOFError Ellipsis EncodingWarning EnvironmentError \
    Exception ExceptionGroup False FileExistsError FileNotFoundError FloatingPointError FutureWarning GeneratorExit \
    IOError ImportError ImportWarning IndentationError IndexError InterruptedError IsADirectoryError KeyError \
    KeyboardInterrupt LookupError MemoryError ModuleNotFoundError NameError None NotADirectoryError NotImplemented \
    NotImplementedError OSError OverflowError PendingDeprecationWarning PermissionError ProcessLookupError \
    PythonFinalizationError RecursionError ReferenceError ResourceWarning RuntimeError RuntimeWarning StopAsyncIteration \
    StopIteration SyntaxError SyntaxWarning SystemError SystemExit TabError TimeoutError True TypeError UnboundLocalError \
    UnicodeDecodeError UnicodeEncodeError UnicodeError UnicodeTranslateError UnicodeWarning UserWarning ValueError Warning \
    WindowsError ZeroDivisionError _ abs aiter all and anext any as ascii assert async await bin bool break breakpoint \
    bytearray bytes callable case chr class classmethod compile complex continue copyright credits def del delattr dict \
    dir divmod elif else enumerate eval except exec exit filter finally float for format from frozenset getattr global \
    globals hasattr hash help hex id if import in input int is isinstance issubclass iter lambda len license list locals \
    map match max memoryview min next nonlocal not object oct open or ord pass pow print property quit raise range repr \
    return reversed round self set setattr slice sorted staticmethod str sum super try tuple type vars while with yield \
    zip";

/// Keywords and predeclared identifiers.
const GO: &str = "any append bool break byte cap case chan clear close comparable complex complex128 complex64 const \
    continue copy default defer delete else error fallthrough false float32 float64 for func go goto if imag import int \
    int16 int32 int64 int8 interface iota len make map max min new nil package panic print println range real recover \
    return rune select string struct switch true type uint uint16 uint32 uint64 uint8 uintptr var";

fn snake(name: &str) -> String {
    name.replace('-', "_")
}

fn pascal(name: &str) -> String {
    let words = name.split('-').filter_map(|word| word.split_at_checked(1));
    words
        .map(|(first, rest)| first.to_ascii_uppercase() + rest)
        .collect()
}

fn camel(name: &str) -> String {
    let (first, rest) = name.split_once('-').unwrap_or((name, ""));
    first.to_owned() + &pascal(rest)
}

/// Every name that an author writes bare, with the path to it. Those of interfaces and worlds are none.
fn identifiers(resolve: &Resolve, package: PackageId) -> Vec<(Use, String, String)> {
    let mut found = Vec::new();
    for (interface, id) in &resolve.packages[package].interfaces {
        let mut add = |used, path: &str, name: &str| {
            found.push((used, name.to_owned(), format!("{interface}.{path}{name}")));
        };
        let interface = &resolve.interfaces[*id];
        for function in interface.functions.values() {
            let name = function.item_name();
            add(Use::Function, "", name);
            for parameter in &function.params {
                // That a method is called upon its resource is no parameter in any binding.
                if parameter.name != "self" {
                    add(Use::Parameter, &format!("{name}."), &parameter.name);
                }
            }
        }
        for (name, id) in &interface.types {
            add(Use::Type, "", name);
            let (used, parts): (Use, Vec<&str>) = match &resolve.types[*id].kind {
                TypeDefKind::Record(r) => {
                    (Use::Member, r.fields.iter().map(|f| &*f.name).collect())
                }
                TypeDefKind::Variant(v) => (Use::Type, v.cases.iter().map(|c| &*c.name).collect()),
                TypeDefKind::Enum(e) => (Use::Type, e.cases.iter().map(|c| &*c.name).collect()),
                TypeDefKind::Flags(f) => (Use::Type, f.flags.iter().map(|f| &*f.name).collect()),
                _ => continue,
            };
            for part in parts {
                add(used, &format!("{name}."), part);
            }
        }
    }
    found
}

/// Names that a language has taken for itself: the path, and what it becomes in which language.
fn clashes(resolve: &Resolve, package: PackageId) -> Vec<String> {
    let mut found = Vec::new();
    for (used, name, path) in identifiers(resolve, package) {
        for language in &LANGUAGES {
            let Some(form) = language.forms[used as usize] else {
                continue;
            };
            let written = form(&name);
            if language.takes(&written, used) {
                found.push(format!("{path}: {written} in {}", language.name));
            }
        }
    }
    found
}

#[test]
fn no_name_shadows_a_word_of_an_author_s_language() {
    let (resolve, package) = contract();
    assert!(identifiers(&resolve, package).len() > 300);
    assert_eq!(clashes(&resolve, package), [""; 0]);
}

#[test]
fn a_name_that_shadows_a_word_is_found_in_every_place() {
    let mut resolve = Resolve::default();
    let text = "package a:b@0.1.0;
        interface typeof-unqual {
          record self { max: u32, %func: u32, typeof-unqual: u32, max-len: u32 }
          enum e { none, true-ish }
          resource r { read: func(chan: u32, instance-of: u32); %static: static func(); }
        }";
    let package = resolve.push_str("test.wit", text).unwrap();
    assert_eq!(
        clashes(&resolve, package),
        [
            "typeof-unqual.read.chan: chan in Go",
            "typeof-unqual.static: static in Rust",
            "typeof-unqual.static: static in C",
            "typeof-unqual.static: static in JavaScript",
            "typeof-unqual.self: Self in Rust",
            "typeof-unqual.self.max: max in Python",
            "typeof-unqual.self.typeof-unqual: typeof_unqual in C",
            "typeof-unqual.e.none: None in Rust",
            "typeof-unqual.e.none: None in Python",
        ]
    );
    for language in &LANGUAGES {
        for list in [language.words, language.globals] {
            let words: Vec<&str> = list.split(' ').collect();
            assert!(words.is_sorted_by(|a, b| a < b), "{}", language.name);
        }
    }
}

#[test]
fn a_function_that_hides_a_global_of_javascript_is_found() {
    let mut resolve = Resolve::default();
    let text = "package a:b@0.1.0;
        interface i {
          record r { fetch: u32 }
          fetch: func(parse-int: u32, is-naughty: u32);
          print-all: func(console: u32);
        }";
    let package = resolve.push_str("test.wit", text).unwrap();
    assert_eq!(
        clashes(&resolve, package),
        [
            "i.fetch: fetch in JavaScript",
            "i.fetch.parse-int: parseInt in JavaScript",
            "i.print-all.console: console in JavaScript",
        ]
    );
}
