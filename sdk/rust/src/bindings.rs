//! Generated from `wit/` by `make bindings`; see `sdk/rust/bindgen`.

pub mod policy;

/// The component types of the worlds, as linked into guests.
pub mod types {
    pub const REASONER: &[u8; include_bytes!("bindings/reasoner.type").len()] =
        include_bytes!("bindings/reasoner.type");
    pub const ACTUATOR: &[u8; include_bytes!("bindings/actuator.type").len()] =
        include_bytes!("bindings/actuator.type");
    pub const POLICY: &[u8; include_bytes!("bindings/policy.type").len()] =
        include_bytes!("bindings/policy.type");
}

#[cfg(test)]
mod digest;

#[cfg(test)]
mod tests {
    use std::path::Path;

    #[test]
    fn the_bindings_are_those_of_the_contract() -> std::io::Result<()> {
        let now = super::digest::of(&Path::new(env!("CARGO_MANIFEST_DIR")).join("wit"))?;
        assert_eq!(
            format!("{now:016x}"),
            include_str!("bindings/wit.digest").trim(),
            "wit/ has changed: run `make bindings`"
        );
        Ok(())
    }
}
