//! Files that are for Airlock's own user alone.
//!
//! What Airlock made it made so; but a volume may have been opened to a group since, as Kubernetes does at each mount with
//! `fsGroup`. Then the bits are taken away again. Only what is not ours to change is refused.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

/// Takes the permission bits of `mask` away from `path`. Returns the mode that it had if it had any of them.
///
/// # Errors
/// The system's: usually the file belongs to somebody else.
pub fn tighten(path: &Path, mask: u32) -> io::Result<Option<u32>> {
    let mode = fs::metadata(path)?.permissions().mode() & 0o7777;
    if mode & mask == 0 {
        return Ok(None);
    }
    fs::set_permissions(path, Permissions::from_mode(mode & !mask))?;
    Ok(Some(mode & 0o777))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn only_the_bits_asked_for_are_taken_and_what_they_were_is_told() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::set_permissions(file.path(), Permissions::from_mode(0o664)).unwrap();
        assert_eq!(tighten(file.path(), 0o077).unwrap(), Some(0o664));
        assert_eq!(tighten(file.path(), 0o077).unwrap(), None);
        let left = fs::metadata(file.path()).unwrap().permissions().mode();
        assert_eq!(left & 0o777, 0o600);
        assert!(tighten(Path::new("/nowhere/at/all"), 0o077).is_err());
    }
}
