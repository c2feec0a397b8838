//! Where a token is looked for first. Shared with the build, which fills the table.

/// Among `slots` places, a power of two. The table never changes, so nobody can fill one place of it on purpose: a cheap hash
/// will do.
pub(super) fn first(token: &[u8], slots: usize) -> usize {
    const MIX: u64 = 0x9e37_79b9_7f4a_7c15;
    let mut hash = token.len() as u64;
    for chunk in token.chunks(8) {
        let mut word = [0; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        hash = (hash.rotate_left(29) ^ u64::from_le_bytes(word)).wrapping_mul(MIX);
    }
    (hash >> 32) as usize & (slots - 1)
}
