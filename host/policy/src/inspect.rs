//! What can be said of a component before it is compiled: whether it is whole, which contract it speaks, what it imports,
//! and the golden cases that it brings along.

use wasmparser::{Encoding, Parser, Payload, Validator};

use super::error::{LoadError, Stage};
use super::spec::Grants;
use crate::contract::VERSION;

const PACKAGE: &str = "airlock:policy/";
/// What a policy finds on the other side, whatever it was granted.
const INTERFACES: [&str; 9] = [
    "actions",
    "asking",
    "content",
    "events",
    "findings",
    "logging",
    "refusals",
    "state",
    "subscriptions",
];
/// First bytes of every module and component.
const MAGIC: &[u8] = b"\0asm";

/// What was found.
pub(super) struct Inspection {
    imports: Vec<String>,
    /// JSON of the custom section `airlock:golden`.
    pub(super) golden: Option<Vec<u8>>,
}

/// Validates a component and reads its outermost level.
pub(super) fn inspect(bytes: &[u8]) -> Result<Inspection, LoadError> {
    let (imports, exports, golden) = read(bytes)?;
    Validator::new()
        .validate_all(bytes)
        .map_err(|e| invalid(&e))?;
    check_version(imports.iter().chain(&exports))?;
    if !exports
        .iter()
        .any(|e| e.starts_with("airlock:policy/about@"))
    {
        return Err(LoadError::new(
            Stage::Version,
            format!(
                "it is not a policy: it exports {} where `airlock:policy/about@{VERSION}` is needed; \
                 build it for a world of the contract, such as `policy`",
                list(&exports)
            ),
        ));
    }
    Ok(Inspection { imports, golden })
}

type Level = (Vec<String>, Vec<String>, Option<Vec<u8>>);

/// Reads imports, exports and the golden section. Reads to the end before it concludes anything: a file that is cut off
/// anywhere is reported as such.
fn read(bytes: &[u8]) -> Result<Level, LoadError> {
    if bytes.is_empty() {
        return Err(LoadError {
            truncated: true,
            ..LoadError::new(Stage::Validate, "the file is empty")
        });
    }
    // The parser's own words for it fill twelve lines.
    if bytes.len() >= MAGIC.len() && !bytes.starts_with(MAGIC) {
        return Err(LoadError::new(
            Stage::Validate,
            "it is not WebAssembly: build a component with `airlock policy build`",
        ));
    }
    let (mut imports, mut exports, mut golden) = (Vec::new(), Vec::new(), None);
    let mut depth = 0_u32;
    let mut module = false;
    for payload in Parser::new(0).parse_all(bytes) {
        match payload.map_err(|e| invalid(&e))? {
            Payload::Version { encoding, .. } => {
                depth += 1;
                module |= depth == 1 && encoding == Encoding::Module;
            }
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::ComponentImportSection(section) if depth == 1 => {
                for import in section {
                    imports.push(import.map_err(|e| invalid(&e))?.name.name.to_owned());
                }
            }
            Payload::ComponentExportSection(section) if depth == 1 => {
                for export in section {
                    exports.push(export.map_err(|e| invalid(&e))?.name.name.to_owned());
                }
            }
            Payload::CustomSection(section) if depth == 1 && section.name() == "airlock:golden" => {
                golden = Some(section.data().to_vec());
            }
            _ => {}
        }
    }
    if module {
        return Err(LoadError::new(
            Stage::Validate,
            "it is a core module, not a component: build it with `airlock policy build`",
        ));
    }
    Ok((imports, exports, golden))
}

/// Within 0.2 only added functions and interfaces are compatible, and the linker sees to those. Another minor number is
/// another contract.
fn check_version<'a>(names: impl Iterator<Item = &'a String>) -> Result<(), LoadError> {
    for name in names.filter(|n| n.starts_with(PACKAGE)) {
        let version = name.split_once('@').map_or("none", |(_, v)| v);
        if track(version) != track(VERSION) {
            return Err(LoadError::new(
                Stage::Version,
                format!(
                    "it speaks `{name}`, this host speaks {VERSION}: rebuild it against the host's contract"
                ),
            ));
        }
    }
    Ok(())
}

fn track(version: &str) -> Option<(&str, &str)> {
    let mut parts = version.split('.');
    Some((parts.next()?, parts.next()?))
}

/// Names the grant that an import needs. The linker would refuse it as well, with a message that names only the import.
pub(super) fn check_imports(
    inspection: &Inspection,
    grants: &Grants,
    name: &str,
) -> Result<(), LoadError> {
    let ours = INTERFACES.map(|interface| [PACKAGE, interface].concat());
    let ours = ours.each_ref().map(String::as_str);
    for import in &inspection.imports {
        let interface = import.split('@').next().unwrap_or(import);
        if ours.contains(&interface) || interface.starts_with("wasi:") && grants.wasi {
            continue;
        }
        let reason = if interface.starts_with("wasi:") {
            format!(
                "it imports `{import}`, which is not granted: it needs `wasi = true` in the grants of `{name}`"
            )
        } else if interface.starts_with(PACKAGE) {
            format!(
                "it imports `{import}`, which this host's contract {VERSION} does not have: build it against this one, or \
                 update Airlock"
            )
        } else {
            format!("it imports `{import}`: policies import only `airlock:policy`")
        };
        return Err(LoadError::new(Stage::Link, reason));
    }
    Ok(())
}

fn invalid(error: &wasmparser::Error) -> LoadError {
    let message = error.to_string();
    let truncated = message.contains("unexpected end");
    let reason = if truncated {
        format!("the file ends too early: {message}")
    } else {
        message
    };
    LoadError {
        truncated,
        ..LoadError::new(Stage::Validate, reason)
    }
}

fn list(names: &[String]) -> String {
    match names {
        [] => "nothing".into(),
        names => names
            .iter()
            .take(4)
            .map(|n| format!("`{n}`"))
            .collect::<Vec<_>>()
            .join(", "),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    fn refusal(bytes: &[u8]) -> LoadError {
        inspect(bytes).err().expect("it loads")
    }

    #[test]
    fn what_is_not_wasm_is_said_in_one_line_and_what_ends_early_is_looked_at_again() {
        let text = refusal(b"hello there");
        assert!(text.reason.contains("not WebAssembly"), "{text}");
        assert!(!text.reason.contains('\n') && !text.truncated, "{text}");
        for begun in [&b""[..], b"\0a", b"\0asm"] {
            assert!(refusal(begun).truncated, "{begun:?}");
        }
    }
}
