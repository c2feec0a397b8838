//! Puts the first-party policies into the binary.
//!
//! They are components, built before the host by `make policies` into `target/policies`. Without them the host builds as
//! well and has no built-in policies; it says so, because a policy that is silently missing is the worst of all.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

fn main() -> io::Result<()> {
    let manifest = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default());
    let policies = manifest.join("../target/policies");
    // Created if missing: cargo would take a missing path for a changed one, and rebuild the host each time.
    fs::create_dir_all(&policies)?;
    let policies = policies.canonicalize()?;
    println!("cargo::rerun-if-changed={}", policies.display());
    let mut files: Vec<PathBuf> = fs::read_dir(&policies)?
        .map(|entry| entry.map(|e| e.path()))
        .collect::<io::Result<Vec<_>>>()?
        .into_iter()
        .filter(|path| path.extension().is_some_and(|e| e == "wasm"))
        .collect();
    files.sort();
    if files.is_empty() {
        println!(
            "cargo::warning=no first-party policies in target/policies: run `make policies`, then build again"
        );
    }
    let out = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default()).join("builtin.rs");
    fs::write(out, table(&files))
}

fn table(files: &[PathBuf]) -> String {
    let mut code = String::from("&[\n");
    for file in files {
        let name = file
            .file_stem()
            .and_then(|s| s.to_str())
            .unwrap_or_default();
        let _ = writeln!(
            code,
            "    ({name:?}, include_bytes!({:?})),",
            Path::new(file)
        );
    }
    code.push(']');
    code
}
