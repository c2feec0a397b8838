//! Writes `sdk/rust/src/bindings/` from `wit/`; run by `make bindings` after a change of the contract.
//!
//! The result is committed, so that building a policy needs no WIT parser and no big procedural macro: that takes a cold
//! build from half a minute to ten seconds. A test of the SDK fails when `wit/` is no longer what the bindings were made
//! from.
//!
//! Only the world `policy` is generated: it holds every interface that the other two have. What tells the worlds apart is
//! the component type that is linked into the guest, one small file for each. The `pure-` worlds need none: an import that a
//! guest does not call is left out of its component.

#[path = "../../src/bindings/digest.rs"]
mod digest;

use std::{fs, path::Path};

use anyhow::{Context, Result, ensure};
use wit_bindgen_core::{Files, WorldGenerator};
use wit_component::{StringEncoding, metadata};
use wit_parser::{Resolve, WorldId};

fn main() -> Result<()> {
    let project = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../..");
    let wit = project.join("wit");
    let out = project.join("sdk/rust/src/bindings");

    let mut resolve = Resolve::default();
    let (package, _) = resolve.push_path(&wit).context("cannot read the contract")?;
    for name in ["reasoner", "actuator", "policy"] {
        let world = resolve.select_world(&[package], Some(name))?;
        let bytes = metadata::encode(&resolve, world, StringEncoding::UTF8, None, false)?;
        fs::write(out.join(format!("{name}.type")), bytes)?;
    }
    let world = resolve.select_world(&[package], Some("policy"))?;
    fs::write(out.join("policy.rs"), rust(&mut resolve, world)?)?;
    fs::write(out.join("wit.digest"), format!("{:016x}\n", digest::of(&wit)?))?;
    Ok(())
}

fn rust(resolve: &mut Resolve, world: WorldId) -> Result<String> {
    let options = wit_bindgen_rust::Opts {
        format: true,
        pub_export_macro: true,
        generate_unused_types: true,
        additional_derive_attributes: ["PartialEq", "serde::Serialize", "serde::Deserialize"].map(String::from).into(),
        ..Default::default()
    };
    let mut files = Files::default();
    options.build().generate(resolve, world, &mut files)?;
    let (_, source) = files.iter().next().context("the generator wrote nothing")?;
    refusals_in_words(&String::from_utf8(source.to_vec())?)
}

/// The generator shows an error as `{:?}`. The only one of the contract, `refusal`, has words for people.
fn refusals_in_words(source: &str) -> Result<String> {
    const DEBUG: &str = r#"write!(f, "{:?}", self)"#;
    let (refusals, others) = source.split_once("pub mod state {").context("there is no interface `state`")?;
    ensure!(
        refusals.matches(DEBUG).count() == 1 && !others.contains(DEBUG),
        "`refusal` is no longer the only error of the contract: say here how each of them is shown"
    );
    Ok(source.replacen(DEBUG, "f.write_str(&self.message)", 1))
}
