//! The operator's workshop: a copy of the example policy `codenames`, its rule changed, built with the same command that any
//! author uses, and dropped into the policy directory.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context as _, ensure};

/// Name of the policy.
pub const POLICY: &str = "codenames";
/// The line of its source that holds the rule.
const RULE: &str = "const NAMES: &[&str] = ";

/// A place where the policy can be built.
pub struct Workshop {
    /// Copy of the policy's crate.
    crate_dir: PathBuf,
    /// Where the builder puts components.
    out: PathBuf,
}

impl Workshop {
    /// Copies the example into `folder`, which must lie two levels below Airlock's source tree, as the example does. `None`
    /// if the working directory is not that tree: then nothing can be built.
    pub fn open(folder: &Path) -> anyhow::Result<Option<Self>> {
        let example = Path::new("examples").join(POLICY);
        if !example.join("Cargo.toml").is_file() || !Path::new("sdk/rust").is_dir() {
            return Ok(None);
        }
        let crate_dir = folder.join(POLICY);
        std::fs::create_dir_all(crate_dir.join("src"))
            .with_context(|| format!("cannot create {}", crate_dir.display()))?;
        let copy = |from: &Path, to: &str| {
            std::fs::copy(from, crate_dir.join(to))
                .with_context(|| format!("cannot copy {}", from.display()))
        };
        copy(&example.join("Cargo.toml"), "Cargo.toml")?;
        copy(&example.join("src/lib.rs"), "src/lib.rs")?;
        // The versions that are on this machine already; cargo drops what the policy does not need.
        copy(Path::new("Cargo.lock"), "Cargo.lock")?;
        Ok(Some(Self {
            crate_dir,
            out: folder.join("built"),
        }))
    }

    /// The line that holds the rule, with these names.
    pub fn rule(names: &[&str]) -> String {
        format!("{RULE}&{names:?};")
    }

    /// Writes the rule.
    pub fn write(&self, rule: &str) -> anyhow::Result<()> {
        let source = self.crate_dir.join("src/lib.rs");
        let text = std::fs::read_to_string(&source)
            .with_context(|| format!("cannot read {}", source.display()))?;
        let line = |line: &str| {
            if line.starts_with(RULE) {
                rule.to_owned()
            } else {
                line.to_owned()
            }
        };
        let changed: Vec<String> = text.lines().map(line).collect();
        ensure!(
            changed.iter().any(|line| line == rule),
            "{} has no line that begins with `{RULE}`",
            source.display()
        );
        std::fs::write(&source, changed.join("\n") + "\n")
            .with_context(|| format!("cannot write {}", source.display()))
    }

    /// Puts what was built into the policy directory.
    pub fn put(&self, policies: &Path) -> anyhow::Result<()> {
        // A copy beside the target and a rename: the directory never holds half a component.
        let target = policies.join(format!("{POLICY}.wasm"));
        let draft = target.with_extension("draft");
        std::fs::copy(self.out.join(format!("{POLICY}.wasm")), &draft)
            .and_then(|_| std::fs::rename(&draft, &target))
            .with_context(|| format!("cannot put the component into {}", policies.display()))
    }

    /// `airlock policy build`, its output kept for the case that it fails.
    pub async fn build(&self) -> anyhow::Result<()> {
        let airlock = std::env::current_exe().context("the path of this program is not known")?;
        let (crate_dir, out) = (self.crate_dir.clone(), self.out.clone());
        let run = move || {
            std::process::Command::new(airlock)
                .args(["policy", "build"])
                .arg(&crate_dir)
                .arg("--out")
                .arg(&out)
                .stdin(Stdio::null())
                .output()
        };
        let done = tokio::task::spawn_blocking(run)
            .await?
            .context("cannot run `airlock policy build`")?;
        ensure!(
            done.status.success(),
            "`airlock policy build {}` failed:\n{}",
            self.crate_dir.display(),
            String::from_utf8_lossy(&done.stderr)
        );
        Ok(())
    }
}
