//! Makes a component of a policy's crate.
//!
//! Guarantees, for every component that it writes: it exports the interfaces of one of the contract's worlds, it imports
//! nothing but the contract's interfaces (so no WASI), it names no path of the machine that built it, and it carries the
//! crate's golden cases. A component that has not changed is not written again, so that what is built from it is not
//! built again either.
//!
//! The crate itself is compiled by the cargo of [`Toolchain`], with a profile for small code that does not depend on the
//! profiles of the crate's workspace.

#![deny(missing_docs)]

mod cargo;
mod component;
mod error;
mod toolchain;

use std::{
    fs,
    path::{Path, PathBuf},
};

pub use component::World;
pub use error::Error;
pub use toolchain::{Toolchain, home as toolchain_home};

/// Target of all policies: no libc and no WASI, so a component imports exactly what the contract says.
pub const TARGET: &str = "wasm32-unknown-unknown";

/// What to build, and where to.
#[derive(Clone, Debug)]
pub struct Options {
    /// Directories of the policies' crates. Those of one workspace are compiled together.
    pub crates: Vec<PathBuf>,
    /// Directory that gets `<package>.wasm`; created if need be.
    pub out: PathBuf,
    /// Directory of cargo's intermediate files. One for all policies, so that dependencies are compiled once.
    pub target: PathBuf,
    /// Whether `Cargo.lock` must be as it is.
    pub locked: bool,
}

/// A component.
#[derive(Clone, Debug)]
pub struct Built {
    /// Name of the package.
    pub name: String,
    /// The component.
    pub path: PathBuf,
    /// World that it implements.
    pub world: World,
    /// Its size.
    pub bytes: usize,
    /// Golden cases in it.
    pub golden: usize,
    /// Whether the file was written, or had these bytes already.
    pub changed: bool,
}

/// Builds policies. Cargo reports to standard error while it compiles.
///
/// # Errors
/// See [`Error`]. Components that were finished before the error stay.
pub fn build(options: &Options) -> Result<Vec<Built>, Error> {
    let near = options
        .crates
        .first()
        .map_or(Path::new("."), PathBuf::as_path);
    let toolchain = Toolchain::find(near)?;
    let modules = cargo::compile(&toolchain, options)?;
    fs::create_dir_all(&options.out).map_err(|source| Error::file(&options.out, source))?;
    modules
        .iter()
        .map(|module| finish(module, &options.out))
        .collect()
}

fn finish(module: &cargo::Module, out: &Path) -> Result<Built, Error> {
    let core = fs::read(&module.wasm).map_err(|source| Error::file(&module.wasm, source))?;
    let cases = component::golden_cases(&module.directory)?;
    let (bytes, world) = component::encode(&module.package, &core, &cases)?;
    let path = out.join(format!("{}.wasm", module.package));
    let changed = fs::read(&path).ok().as_deref() != Some(bytes.as_slice());
    if changed {
        // Written aside and renamed: a host that watches the directory never sees half a component.
        let aside = out.join(format!(".{}.wasm.new", module.package));
        fs::write(&aside, &bytes).map_err(|source| Error::file(&aside, source))?;
        fs::rename(&aside, &path).map_err(|source| Error::file(&path, source))?;
    }
    Ok(Built {
        name: module.package.clone(),
        path,
        world,
        bytes: bytes.len(),
        golden: cases.len(),
        changed,
    })
}
