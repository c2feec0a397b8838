//! `airlock policy new`: begins a policy.
//!
//! The SDK goes with it, from inside this program: a single installed file is enough to write a policy that fits it, and
//! the policy builds the same tomorrow.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow};
use include_dir::{Dir, include_dir};

use crate::failure::Failure;
use airlock_policy::spec::is_name;

static SDK_RUST: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../sdk/rust/src");
static SDK_GOLDEN: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../sdk/golden/src");

/// The files of a new policy; `{name}` is replaced.
const TEMPLATE: [(&str, &str); 4] = [
    ("Cargo.toml", include_str!("template/Cargo.toml.txt")),
    ("src/lib.rs", include_str!("template/lib.rs.txt")),
    (
        "golden/10-blocks.json",
        include_str!("template/golden.json.txt"),
    ),
    (".gitignore", "/target\n"),
];

/// Options of `airlock policy new`.
#[derive(Debug, clap::Args)]
pub struct NewArgs {
    /// Name of the policy: a-z, 0-9 and -.
    name: String,
    /// Directory to make. Without it: the name.
    directory: Option<PathBuf>,
}

/// Writes the crate.
///
/// # Errors
/// The name cannot be a policy's, or the directory exists.
pub fn run(args: &NewArgs) -> Result<(), Failure> {
    if !is_name(&args.name) || args.name.starts_with(|c: char| c.is_ascii_digit()) {
        return Err(Failure::usage(anyhow!(
            "{} can be no policy's name: 1 to 64 of a-z, 0-9 and -, beginning with a letter",
            args.name
        )));
    }
    let directory = args
        .directory
        .clone()
        .unwrap_or_else(|| PathBuf::from(&args.name));
    if directory.exists() {
        return Err(Failure::usage(anyhow!(
            "{} exists: name another directory",
            directory.display()
        )));
    }
    create(&directory, &args.name)
        .with_context(|| format!("cannot write {}", directory.display()))?;
    let shown = directory.display();
    crate::render::terminal::print(&format!(
        "wrote {shown}: its rule is in src/lib.rs, what it must say in golden/, the SDK in airlock/\n\
         next: airlock policy test {shown}\n      airlock policy build {shown}\n      airlock policy grant {} block\n",
        args.name
    ));
    Ok(())
}

fn create(directory: &Path, name: &str) -> std::io::Result<()> {
    for (file, text) in TEMPLATE {
        write(
            &directory.join(file),
            text.replace("{name}", name).as_bytes(),
        )?;
    }
    let sdk = directory.join("airlock");
    write(
        &sdk.join("rust/Cargo.toml"),
        include_bytes!("../../../../sdk/rust/Cargo.toml"),
    )?;
    write(
        &sdk.join("golden/Cargo.toml"),
        include_bytes!("../../../../sdk/golden/Cargo.toml"),
    )?;
    for (part, source) in [("rust/src", &SDK_RUST), ("golden/src", &SDK_GOLDEN)] {
        let target = sdk.join(part);
        std::fs::create_dir_all(&target)?;
        source.extract(target)?;
    }
    Ok(())
}

fn write(path: &Path, content: &[u8]) -> std::io::Result<()> {
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent)?;
    }
    std::fs::write(path, content)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn a_new_policy_has_its_name_everywhere_and_the_sdk_with_it() {
        let dir = tempfile::tempdir().unwrap();
        let made = dir.path().join("guard");
        create(&made, "guard").unwrap();
        for (file, _) in TEMPLATE {
            let text = std::fs::read_to_string(made.join(file)).unwrap();
            assert!(!text.contains("{name}"), "{file}");
        }
        let manifest: toml::Table = std::fs::read_to_string(made.join("Cargo.toml"))
            .unwrap()
            .parse()
            .unwrap();
        assert_eq!(manifest["package"]["name"].as_str(), Some("guard"));
        let sdk = made.join(
            manifest["dependencies"]["airlock-sdk"]["path"]
                .as_str()
                .unwrap(),
        );
        let manifest: toml::Table = std::fs::read_to_string(sdk.join("Cargo.toml"))
            .unwrap()
            .parse()
            .unwrap();
        assert!(
            manifest["package"]
                .get("version")
                .is_some_and(toml::Value::is_str),
            "inherits from no workspace"
        );
        assert!(sdk.join("src/lib.rs").exists() && sdk.join("../golden/src/lib.rs").exists());
    }
}
