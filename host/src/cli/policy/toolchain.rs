//! `airlock policy toolchain`: gets a Rust that compiles to Wasm, where rustup has none to give.
//!
//! The scripts are those of the source tree, carried inside. They are kept in the user's data directory, and what they
//! build beside them, so that it serves every policy and `airlock policy build` finds it.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, anyhow};

use crate::failure::Failure;

/// Name, and text. The first one is run; the others are called by it.
const SCRIPTS: [(&str, &str); 2] = [
    ("toolchain.sh", include_str!("../../../../sdk/toolchain.sh")),
    ("apt.sh", include_str!("../../../../sdk/apt.sh")),
];

/// Runs it.
///
/// # Errors
/// There is no place for it, or the script failed; it has told why on standard error.
pub fn run() -> Result<(), Failure> {
    let home = airlock_build::toolchain_home()
        .ok_or_else(|| anyhow!("there is no home directory: set XDG_DATA_HOME"))?;
    let script = write(&home)?;
    let status = Command::new("bash")
        .arg(&script)
        .status()
        .context("cannot run bash, which the script needs")?;
    if !status.success() {
        return Err(anyhow!("there is no toolchain yet: see what was said above").into());
    }
    crate::render::terminal::print(&format!(
        "{}: ready, airlock policy build finds it\n",
        home.join(".toolchain").display()
    ));
    Ok(())
}

/// Writes the scripts below `home` as they lie in the source tree, and returns the one to run.
fn write(home: &Path) -> anyhow::Result<PathBuf> {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = home.join("sdk");
    std::fs::create_dir_all(&dir).with_context(|| format!("cannot create {}", dir.display()))?;
    for (name, text) in SCRIPTS {
        let path = dir.join(name);
        std::fs::write(&path, text)
            .and_then(|()| std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)))
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(dir.join(SCRIPTS[0].0))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn every_script_that_a_script_calls_is_carried_and_can_be_run() {
        let home = tempfile::tempdir().unwrap();
        let script = write(home.path()).unwrap();
        let text = std::fs::read_to_string(&script).unwrap();
        for called in text.match_indices("$project/sdk/") {
            let rest = &text[called.0 + "$project/".len()..];
            let path = rest.split(['"', ' ']).next().unwrap();
            assert!(home.path().join(path).is_file(), "{path} is not carried");
        }
        let status = Command::new("bash")
            .arg("-n")
            .arg(&script)
            .status()
            .unwrap();
        assert!(status.success());
    }

    #[test]
    fn without_a_compiler_the_message_names_the_command_that_gets_one() {
        let error = airlock_build::Error::Toolchain {
            tried: "rustc".into(),
        };
        assert!(error.to_string().contains("`airlock policy toolchain`"));
    }
}
