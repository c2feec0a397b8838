//! `airlock init`: writes a commented `airlock.toml`.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write as _};
use std::path::PathBuf;

use anyhow::{Context as _, anyhow};

use crate::config::locate::FILE_NAME;
use crate::config::template::TEMPLATE;
use crate::failure::Failure;

/// Options of `airlock init`.
#[derive(Debug, clap::Args)]
pub struct InitArgs {
    /// File to write.
    #[arg(default_value = FILE_NAME)]
    file: PathBuf,
    /// Overwrite a file that exists.
    #[arg(long)]
    force: bool,
}

/// Writes the file.
///
/// # Errors
/// It exists, or cannot be written.
pub fn run(args: &InitArgs) -> Result<(), Failure> {
    let shown = args.file.display();
    let mut options = OpenOptions::new();
    options.write(true);
    if args.force {
        options.create(true).truncate(true);
    } else {
        options.create_new(true);
    }
    let mut file = match options.open(&args.file) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            return Err(Failure::usage(anyhow!(
                "{shown} exists: --force overwrites it"
            )));
        }
        Err(error) => {
            return Err(anyhow!(error)
                .context(format!("cannot write {shown}"))
                .into());
        }
    };
    file.write_all(TEMPLATE.as_bytes())
        .with_context(|| format!("cannot write {shown}"))?;
    crate::render::terminal::print(&format!(
        "wrote {shown}: every key stands there with its default. Judge changes with: airlock config check {shown}\n"
    ));
    Ok(())
}
