//! The public contract is frozen: what is in `wit/` must stay what policies were compiled against.
//!
//! The digest is taken of the parsed package, printed without its documentation: a comment or a line break may be
//! corrected, a name, a type, a case or their order may not. See `wit/README.md`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::Path;

use sha2::{Digest, Sha256};
use wit_component::WitPrinter;
use wit_parser::{Docs, PackageId, Resolve, TypeDefKind};

/// Version and digest of the contract in `wit/`.
const FROZEN: (&str, &str) = (
    "0.1.0",
    "15c4228f99d45b7a70accc99c0d36d8de414a175e9ef1c58191cfd4c9112ecfd",
);

fn contract() -> (Resolve, PackageId) {
    let mut resolve = Resolve::default();
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../wit");
    let (package, _) = resolve.push_path(directory).expect("wit/ is no package");
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
        look(&resolve.worlds[*id].docs, name.clone());
    }
    for (name, id) in &package.interfaces {
        let interface = &resolve.interfaces[*id];
        look(&interface.docs, name.clone());
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
