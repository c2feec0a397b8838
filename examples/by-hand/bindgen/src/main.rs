//! Two steps from C to a component, for machines that have neither `wit-bindgen` nor `wasm-tools`:
//!
//! ```text
//! by-hand-bindgen c <wit> <world> <folder>          the bindings: as `wit-bindgen c --world <world> --out-dir <folder> <wit>`
//! by-hand-bindgen component <core.wasm> <out.wasm>  the component: as `wasm-tools component new <core.wasm> -o <out.wasm>`
//! ```

use std::{env, fs, path::Path};

use anyhow::{Context, Result, bail};
use wit_bindgen_core::Files;
use wit_component::ComponentEncoder;
use wit_parser::Resolve;

fn main() -> Result<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        ["c", wit, world, folder] => bindings(wit, world, Path::new(folder)),
        ["component", core, out] => component(core, out),
        _ => bail!(
            "usage: by-hand-bindgen c <wit> <world> <folder> | component <core.wasm> <out.wasm>"
        ),
    }
}

/// Writes a header, a C file and an object file that tells the linker which world this is.
fn bindings(wit: &str, world: &str, folder: &Path) -> Result<()> {
    let mut resolve = Resolve::default();
    let (package, _) = resolve
        .push_path(wit)
        .with_context(|| format!("cannot read {wit}"))?;
    let world = resolve.select_world(&[package], Some(world))?;
    let mut files = Files::default();
    wit_bindgen_c::Opts::default()
        .build()
        .generate(&mut resolve, world, &mut files)?;
    fs::create_dir_all(folder)?;
    for (name, bytes) in files.iter() {
        fs::write(folder.join(name), bytes)?;
    }
    Ok(())
}

/// Wraps a core module, which bears the type of its world in a section of its own, into a component.
fn component(core: &str, out: &str) -> Result<()> {
    let module = fs::read(core).with_context(|| format!("cannot read {core}"))?;
    let component = ComponentEncoder::default()
        .validate(true)
        .module(&module)?
        .encode()?;
    fs::write(out, component).with_context(|| format!("cannot write {out}"))
}
