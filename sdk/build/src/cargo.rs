//! Has cargo compile policies to core modules: one run for each workspace.

use std::{
    collections::BTreeMap,
    env,
    ffi::OsString,
    fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use serde::Deserialize;

use crate::{Error, Options, TARGET, Toolchain};

/// Small code, and nothing in it that only a person with a debugger would miss. Said on the command line, because a
/// workspace has one release profile and the host wants another one. `package."*"` as well, since a workspace's own
/// override would otherwise win.
const PROFILE: [&str; 9] = [
    "profile.release.opt-level='s'",
    "profile.release.lto=true",
    "profile.release.codegen-units=1",
    "profile.release.panic='abort'",
    "profile.release.strip=true",
    "profile.release.debug=false",
    "profile.release.incremental=false",
    "profile.release.package.'*'.opt-level='s'",
    "profile.release.package.'*'.codegen-units=1",
];

/// A compiled policy.
pub(crate) struct Module {
    /// Name of its package.
    pub(crate) package: String,
    /// Directory of its package.
    pub(crate) directory: PathBuf,
    /// The core module.
    pub(crate) wasm: PathBuf,
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
    workspace_root: PathBuf,
}

#[derive(Clone, Deserialize)]
struct Package {
    id: String,
    name: String,
    manifest_path: PathBuf,
    source: Option<String>,
    targets: Vec<Target>,
}

#[derive(Clone, Deserialize)]
struct Target {
    crate_types: Vec<String>,
}

/// A line of cargo's report.
#[derive(Deserialize)]
struct Message {
    reason: String,
    #[serde(default)]
    package_id: String,
    #[serde(default)]
    filenames: Vec<PathBuf>,
}

impl Package {
    fn directory(&self) -> PathBuf {
        self.manifest_path
            .parent()
            .map(PathBuf::from)
            .unwrap_or_default()
    }
}

pub(crate) fn compile(toolchain: &Toolchain, options: &Options) -> Result<Vec<Module>, Error> {
    let mut workspaces = BTreeMap::<PathBuf, (Vec<Package>, Vec<Package>)>::new();
    for directory in &options.crates {
        let manifest = directory.join("Cargo.toml");
        let manifest = manifest
            .canonicalize()
            .map_err(|source| Error::file(&manifest, source))?;
        let metadata = match workspaces
            .iter()
            .find(|(_, (all, _))| holds(all, &manifest))
        {
            Some((root, (all, _))) => Metadata {
                packages: all.clone(),
                workspace_root: root.clone(),
            },
            None => metadata(toolchain, &manifest, options.locked)?,
        };
        let policy = policy(&metadata.packages, &manifest, directory)?;
        let (_, chosen) = workspaces
            .entry(metadata.workspace_root)
            .or_insert_with(|| (metadata.packages, Vec::new()));
        chosen.push(policy);
    }
    let mut modules = Vec::new();
    for (root, (all, chosen)) in &workspaces {
        modules.extend(run(toolchain, options, root, all, chosen)?);
    }
    Ok(modules)
}

fn holds(packages: &[Package], manifest: &Path) -> bool {
    packages
        .iter()
        .any(|package| package.manifest_path == manifest)
}

fn policy(packages: &[Package], manifest: &Path, directory: &Path) -> Result<Package, Error> {
    let unfit = |why: &str| Error::Crate {
        directory: directory.into(),
        why: why.into(),
    };
    let package = packages
        .iter()
        .find(|package| package.manifest_path == manifest)
        .ok_or_else(|| unfit("Cargo.toml has no [package]: name the directory of one policy"))?;
    let is_cdylib = |target: &Target| target.crate_types.iter().any(|kind| kind == "cdylib");
    if !package.targets.iter().any(is_cdylib) {
        return Err(unfit(
            "not a policy's crate: add to its Cargo.toml\n\n    [lib]\n    crate-type = [\"cdylib\"]\n",
        ));
    }
    Ok(package.clone())
}

fn metadata(toolchain: &Toolchain, manifest: &Path, locked: bool) -> Result<Metadata, Error> {
    let mut command = cargo(toolchain);
    command
        .args([
            "metadata",
            "--format-version=1",
            "--filter-platform",
            TARGET,
            "--manifest-path",
        ])
        .arg(manifest);
    if locked {
        command.arg("--locked");
    }
    let failed = |detail: String| Error::Cargo {
        what: "read the crate",
        detail: format!(": {}", detail.trim()),
    };
    let output = command
        .output()
        .map_err(|error| failed(format!("{}: {error}", toolchain.cargo.display())))?;
    if !output.status.success() {
        return Err(failed(String::from_utf8_lossy(&output.stderr).into_owned()));
    }
    serde_json::from_slice(&output.stdout).map_err(|error| failed(error.to_string()))
}

fn run(
    toolchain: &Toolchain,
    options: &Options,
    root: &Path,
    all: &[Package],
    chosen: &[Package],
) -> Result<Vec<Module>, Error> {
    let mut command = cargo(toolchain);
    command
        .args([
            "build",
            "--release",
            "--lib",
            "--target",
            TARGET,
            "--message-format=json-render-diagnostics",
        ])
        .arg("--manifest-path")
        .arg(root.join("Cargo.toml"))
        .arg("--target-dir")
        .arg(&options.target)
        .args(PROFILE.iter().flat_map(|setting| ["--config", setting]))
        .args(chosen.iter().flat_map(|package| ["--package", &package.id]))
        .env("CARGO_ENCODED_RUSTFLAGS", rustflags(root, all))
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    if options.locked {
        command.arg("--locked");
    }
    let failed = |detail: String| Error::Cargo {
        what: "compile the policy",
        detail,
    };
    let mut child = command
        .spawn()
        .map_err(|error| failed(format!(": {}: {error}", toolchain.cargo.display())))?;
    let mut built = BTreeMap::new();
    if let Some(stdout) = child.stdout.take() {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            if let Some((package, wasm)) = artifact(&line) {
                built.insert(package, wasm);
            }
        }
    }
    let status = child.wait().map_err(|error| failed(format!(": {error}")))?;
    if !status.success() {
        return Err(failed(", see above".into()));
    }
    chosen
        .iter()
        .map(|package| {
            let wasm = built
                .remove(&package.id)
                .ok_or_else(|| failed(format!(": no module of {}", package.name)))?;
            Ok(Module {
                package: package.name.clone(),
                directory: package.directory(),
                wasm,
            })
        })
        .collect()
}

/// The package and the core module of a line that reports one.
fn artifact(line: &str) -> Option<(String, PathBuf)> {
    let message: Message = serde_json::from_str(line).ok()?;
    let is_wasm = |file: &PathBuf| {
        file.extension()
            .is_some_and(|extension| extension == "wasm")
    };
    let wasm = message.filenames.into_iter().find(is_wasm)?;
    (message.reason == "compiler-artifact").then_some((message.package_id, wasm))
}

/// Gives every directory that sources come from a name that says nothing of this machine. Of several prefixes that fit,
/// rustc takes the last one.
fn rustflags(root: &Path, all: &[Package]) -> OsString {
    let mut names = vec![(root.to_path_buf(), "/policy".to_owned())];
    for package in all.iter().filter(|package| package.source.is_none()) {
        names.push((package.directory(), format!("/{}", package.name)));
    }
    if let Some(home) = cargo_home() {
        names.push((home.clone(), "/cargo".into()));
        let registries = fs::read_dir(home.join("registry/src"))
            .into_iter()
            .flatten()
            .flatten();
        names.extend(registries.map(|registry| (registry.path(), "/registry".to_owned())));
    }
    let mut flags = OsString::new();
    for (path, name) in names {
        if !flags.is_empty() {
            flags.push("\u{1f}");
        }
        flags.push("--remap-path-prefix=");
        flags.push(path);
        flags.push(format!("={name}"));
    }
    flags
}

fn cargo_home() -> Option<PathBuf> {
    env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| Some(env::home_dir()?.join(".cargo")))
}

/// A cargo that takes nothing over from one that may have started this program: neither its compiler nor its flags.
fn cargo(toolchain: &Toolchain) -> Command {
    let mut command = Command::new(&toolchain.cargo);
    for (name, _) in env::vars_os() {
        let text = name.to_string_lossy();
        let foreign = text.starts_with("CARGO_PROFILE_")
            || text.starts_with("CARGO_BUILD_")
            || [
                "CARGO",
                "CARGO_TARGET_DIR",
                "CARGO_ENCODED_RUSTFLAGS",
                "RUSTFLAGS",
                "RUSTC_WORKSPACE_WRAPPER",
            ]
            .contains(&text.as_ref());
        if foreign {
            command.env_remove(&name);
        }
    }
    // No compiler cache: it would not see that the standard library of the same compiler was built anew.
    command
        .env("RUSTC", &toolchain.rustc)
        .env("RUSTC_WRAPPER", "");
    command
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;

    #[test]
    fn of_cargos_report_only_modules_count() {
        let line =
            r#"{"reason":"compiler-artifact","package_id":"p","filenames":["/t/p.d","/t/p.wasm"]}"#;
        assert_eq!(artifact(line), Some(("p".into(), "/t/p.wasm".into())));
        assert_eq!(
            artifact(
                r#"{"reason":"compiler-artifact","package_id":"p","filenames":["/t/libp.rlib"]}"#
            ),
            None
        );
        assert_eq!(
            artifact(r#"{"reason":"build-finished","success":true}"#),
            None
        );
        assert_eq!(artifact("   Compiling p"), None);
    }

    #[test]
    fn a_nested_directory_keeps_its_own_name() {
        let package = Package {
            id: "p".into(),
            name: "p".into(),
            manifest_path: "/w/plugins/p/Cargo.toml".into(),
            source: None,
            targets: Vec::new(),
        };
        let flags = rustflags(Path::new("/w"), &[package])
            .into_string()
            .unwrap();
        let root = flags.find("--remap-path-prefix=/w=/policy").unwrap();
        assert!(root < flags.find("--remap-path-prefix=/w/plugins/p=/p").unwrap());
    }
}
