//! Which contract the bindings were made from. Shared by the generator and the test that compares.

use std::{fs, io, path::Path};

/// FNV-1a of the names and texts of the files of a WIT directory, in order of their names. Enough to see that somebody
/// edited one; it protects against nothing else.
pub fn of(wit: &Path) -> io::Result<u64> {
    let mut files = fs::read_dir(wit)?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<io::Result<Vec<_>>>()?;
    files.retain(|file| file.extension().is_some_and(|extension| extension == "wit"));
    files.sort();
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for file in files {
        let name = file.file_name().unwrap_or_default().as_encoded_bytes();
        for byte in name.iter().copied().chain(fs::read(&file)?) {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
    Ok(hash)
}
