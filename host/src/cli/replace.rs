//! Puts another content in the place of a file, whole or not at all.

use std::io::Write as _;
use std::path::Path;

/// Writes aside and renames, so that nobody reads half a file; the mode of the file stays.
///
/// # Errors
/// The system's; the file is then as it was.
pub fn replace(file: &Path, text: &str) -> std::io::Result<()> {
    // Through a symlink to the file itself, which would otherwise be replaced by a copy.
    let file = &std::fs::canonicalize(file).unwrap_or_else(|_| file.to_owned());
    let aside = file.with_extension("toml.new");
    let mut out = std::fs::File::create(&aside)?;
    if let Ok(metadata) = std::fs::metadata(file) {
        out.set_permissions(metadata.permissions())?;
    }
    out.write_all(text.as_bytes())?;
    out.sync_all()?;
    std::fs::rename(aside, file)
}
