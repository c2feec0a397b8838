//! Reads the policy directory.
//!
//! Files are opened through a handle of their directory, so that a symbolic link which leaves it leads nowhere (one that
//! stays inside, as in a mounted ConfigMap, is followed), and they are read whole: a file may be replaced at any time.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::{self, Read as _};
use std::path::Path;
use std::time::SystemTime;

use cap_std::ambient_authority;
use cap_std::fs::Dir;

use super::spec::PolicySpec;

/// Largest `<name>.toml`, bytes.
const SPEC_BYTES: u64 = 1 << 20;

/// What the directory holds for one name.
#[derive(Default)]
pub(super) struct Entry {
    /// Whether `<name>.wasm` is there.
    pub(super) component: bool,
    /// What `<name>.toml` says, if it is there.
    pub(super) spec: Option<Result<PolicySpec, String>>,
}

/// Lists the directory by policy name. Names that begin with a dot are not looked at: editors' and mounts' own files.
pub(super) fn list(path: &Path) -> Result<BTreeMap<String, Entry>, String> {
    let say = |e: io::Error| format!("cannot read the policy directory `{}`: {e}", path.display());
    let dir = Dir::open_ambient_dir(path, ambient_authority()).map_err(say)?;
    let mut found: BTreeMap<String, Entry> = BTreeMap::new();
    for entry in dir.entries().map_err(say)? {
        let file = entry.map_err(say)?.file_name();
        let Some((name, kind)) = file
            .to_str()
            .filter(|f| !f.starts_with('.'))
            .and_then(|f| f.rsplit_once('.'))
        else {
            continue;
        };
        match kind {
            "wasm" => found.entry(name.to_owned()).or_default().component = true,
            "toml" => {
                let spec = read_in(&dir, &format!("{name}.toml"), SPEC_BYTES)
                    .and_then(|bytes| parse(&bytes));
                found.entry(name.to_owned()).or_default().spec = Some(spec);
            }
            _ => {}
        }
    }
    Ok(found)
}

/// Reads a component whole.
pub(super) fn read(path: &Path, most: u64) -> Result<Vec<u8>, String> {
    let (Some(parent), Some(name)) = (path.parent(), path.file_name().and_then(|n| n.to_str()))
    else {
        return Err("that is not the path of a file".into());
    };
    let parent = if parent.as_os_str().is_empty() {
        Path::new(".")
    } else {
        parent
    };
    let dir = Dir::open_ambient_dir(parent, ambient_authority())
        .map_err(|e| format!("cannot open the directory `{}`: {e}", parent.display()))?;
    read_in(&dir, name, most)
}

fn read_in(dir: &Dir, name: &str, most: u64) -> Result<Vec<u8>, String> {
    let say = |e: io::Error| {
        let link = dir.symlink_metadata(name).is_ok_and(|m| m.is_symlink());
        if link && e.kind() == io::ErrorKind::PermissionDenied {
            format!(
                "`{name}` is a symbolic link that leaves its directory: copy the file there, or name its own path"
            )
        } else if link && e.kind() == io::ErrorKind::NotFound {
            format!("`{name}` is a symbolic link to nothing")
        } else {
            format!("cannot read `{name}`: {e}")
        }
    };
    let metadata = dir.metadata(name).map_err(say)?;
    if !metadata.is_file() {
        return Err(format!("`{name}` is not a regular file"));
    }
    let mut bytes = Vec::with_capacity(usize::try_from(metadata.len().min(most)).unwrap_or(0));
    // One byte more than allowed: a file that grows while it is read is caught too.
    dir.open(name)
        .map_err(say)?
        .take(most + 1)
        .read_to_end(&mut bytes)
        .map_err(say)?;
    if bytes.len() as u64 > most {
        return Err(format!(
            "`{name}` has more than {} MiB: raise `limits.file_mib` to allow it",
            most >> 20
        ));
    }
    Ok(bytes)
}

fn parse(bytes: &[u8]) -> Result<PolicySpec, String> {
    let text = std::str::from_utf8(bytes).map_err(|e| format!("it is not text: {e}"))?;
    let spec: PolicySpec = toml::from_str(text).map_err(|e| e.to_string().trim_end().to_owned())?;
    if spec.file.is_some() {
        return Err(
            "`file` is not allowed here, only in the entry of the main configuration: \
                    this file speaks for the component beside it"
                .into(),
        );
    }
    Ok(spec)
}

/// A number that changes when a file in one of the directories does. For where no change notices come: network file
/// systems, some containers, a directory that was itself replaced.
pub(super) fn fingerprint<'a>(dirs: impl Iterator<Item = &'a Path>) -> u64 {
    let mut sum = 0_u64;
    for (i, dir) in dirs.enumerate() {
        let Ok(entries) = std::fs::read_dir(dir) else {
            continue;
        };
        for entry in entries.flatten() {
            let mut hasher = DefaultHasher::new();
            (i, entry.file_name()).hash(&mut hasher);
            if let Ok(metadata) = std::fs::metadata(entry.path()) {
                metadata.len().hash(&mut hasher);
                metadata
                    .modified()
                    .ok()
                    .and_then(|t| t.duration_since(SystemTime::UNIX_EPOCH).ok())
                    .hash(&mut hasher);
            }
            // The order of entries means nothing.
            sum = sum.wrapping_add(hasher.finish());
        }
    }
    sum
}
