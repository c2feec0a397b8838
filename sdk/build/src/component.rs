//! Wraps a core module into a component, and judges it by the contract.

use std::{fmt, fs, io, path::Path};

use airlock_golden::Case;
use wasmparser::{Parser, Payload};
use wit_component::ComponentEncoder;

use crate::Error;

/// The contract's package: what a policy may import and must export.
const PACKAGE: &str = "airlock:policy/";

/// A world of the contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum World {
    /// Concludes.
    Reasoner,
    /// Orders.
    Actuator,
    /// Does both.
    Policy,
}

impl fmt::Display for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Reasoner => "reasoner",
            Self::Actuator => "actuator",
            Self::Policy => "policy",
        })
    }
}

/// The cases in `golden/*.json` of a crate, in order of their names; none if it has no such directory.
pub(crate) fn golden_cases(directory: &Path) -> Result<Vec<Case>, Error> {
    let folder = directory.join("golden");
    let entries = match fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => return Err(Error::file(&folder, source)),
    };
    let mut files: Vec<_> = entries
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "json")
        })
        .collect();
    files.sort();
    files
        .into_iter()
        .map(|path| {
            let text = fs::read(&path).map_err(|source| Error::file(&path, source))?;
            serde_json::from_slice(&text).map_err(|why| Error::Golden { path, why })
        })
        .collect()
}

/// The component of a core module, with the golden cases in it.
pub(crate) fn encode(
    package: &str,
    core: &[u8],
    cases: &[Case],
) -> Result<(Vec<u8>, World), Error> {
    let unfit = |why: String| Error::Component {
        package: package.into(),
        why,
    };
    let mut component = ComponentEncoder::default()
        .validate(true)
        .module(core)
        .and_then(|mut encoder| encoder.encode())
        .map_err(|error| unfit(format!("cannot be made a component: {error:#}")))?;
    let world = world(&component).map_err(unfit)?;
    if !cases.is_empty() {
        let cases = serde_json::to_vec(cases).map_err(|error| unfit(error.to_string()))?;
        append_section(&mut component, airlock_golden::SECTION, &cases);
    }
    Ok((component, world))
}

/// The world that a component implements, or why it is none of the contract's.
fn world(component: &[u8]) -> Result<World, String> {
    let mut exports = Vec::new();
    let mut depth = 0_usize;
    for payload in Parser::new(0).parse_all(component) {
        match payload.map_err(|error| error.to_string())? {
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::ComponentImportSection(imports) if depth == 0 => {
                for import in imports {
                    let name = import.map_err(|error| error.to_string())?.name.name;
                    if !name.starts_with(PACKAGE) {
                        return Err(format!(
                            "imports {name}, which no host grants: a policy may import {PACKAGE}* only. A dependency that \
                             wants a system (time, files, randomness) does that"
                        ));
                    }
                }
            }
            Payload::ComponentExportSection(names) if depth == 0 => {
                for export in names {
                    exports.push(export.map_err(|error| error.to_string())?.name.name);
                }
            }
            _ => {}
        }
    }
    let exports = |interface: &str| {
        exports.iter().any(|name| {
            name.strip_prefix(PACKAGE)
                .and_then(|name| name.split('@').next())
                == Some(interface)
        })
    };
    let is_policy = exports("about") && exports("sessions");
    match (is_policy, exports("reasoning"), exports("acting")) {
        (true, true, true) => Ok(World::Policy),
        (true, true, false) => Ok(World::Reasoner),
        (true, false, true) => Ok(World::Actuator),
        _ => Err(
            "exports no world of the contract: add `airlock_sdk::export_policy!(YourType);` (or \
                  `export_reasoner!`, `export_actuator!`)"
                .into(),
        ),
    }
}

/// Appends a custom section, which may stand anywhere in a component.
fn append_section(component: &mut Vec<u8>, name: &str, data: &[u8]) {
    let mut body = Vec::with_capacity(data.len() + name.len() + 5);
    leb128(&mut body, name.len());
    body.extend_from_slice(name.as_bytes());
    body.extend_from_slice(data);
    component.push(0);
    leb128(component, body.len());
    component.extend_from_slice(&body);
}

fn leb128(out: &mut Vec<u8>, mut value: usize) {
    loop {
        let low = (value & 0x7f) as u8;
        value >>= 7;
        if value == 0 {
            out.push(low);
            return;
        }
        out.push(low | 0x80);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;

    fn judge(wat: &str) -> Result<World, String> {
        world(&wat::parse_str(wat).unwrap())
    }

    #[test]
    fn a_component_of_another_world_is_refused() {
        let error = judge("(component)").unwrap_err();
        assert!(error.contains("export_policy!"), "{error}");
    }

    #[test]
    fn a_foreign_import_is_refused_by_name() {
        let error =
            judge(r#"(component (import "wasi:clocks/wall-clock@0.2.0" (instance)))"#).unwrap_err();
        assert!(error.contains("wasi:clocks/wall-clock@0.2.0"), "{error}");
    }

    #[test]
    fn worlds_are_told_apart_by_their_exports() {
        let component = |interfaces: &[&str]| {
            let exports: String = interfaces
                .iter()
                .map(|name| format!(r#"(instance ${name}) (export "airlock:policy/{name}@0.2.0" (instance ${name}))"#))
                .collect();
            judge(&format!(
                r#"(component (import "airlock:policy/findings@0.2.0" (instance)) {exports})"#
            ))
        };
        assert_eq!(
            component(&["about", "sessions", "reasoning"]),
            Ok(World::Reasoner)
        );
        assert_eq!(
            component(&["about", "sessions", "acting"]),
            Ok(World::Actuator)
        );
        assert_eq!(
            component(&["about", "sessions", "reasoning", "acting"]),
            Ok(World::Policy)
        );
        assert!(component(&["sessions", "reasoning"]).is_err());
        assert!(component(&["about", "reasoning"]).is_err());
    }

    #[test]
    fn a_long_section_is_read_back() {
        let mut component = wat::parse_str("(component)").unwrap();
        append_section(&mut component, airlock_golden::SECTION, &[b'x'; 20_000]);
        let found =
            Parser::new(0)
                .parse_all(&component)
                .find_map(|payload| match payload.unwrap() {
                    Payload::CustomSection(section) => {
                        Some((section.name().to_owned(), section.data().len()))
                    }
                    _ => None,
                });
        assert_eq!(found, Some((airlock_golden::SECTION.into(), 20_000)));
    }

    #[test]
    fn something_that_is_no_module_is_refused() {
        assert!(matches!(
            encode("x", b"\0asm", &[]),
            Err(Error::Component { .. })
        ));
    }
}
