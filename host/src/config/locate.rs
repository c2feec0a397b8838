//! Where the configuration is: `--config`, else `./airlock.toml`, else `$XDG_CONFIG_HOME/airlock/airlock.toml`.

use std::path::{Path, PathBuf};

use super::data::xdg;
use super::environment::{self, Variables};
use super::parse::parse;
use super::{Config, Problem, Problems, Source};

/// Name of the file.
pub const FILE_NAME: &str = "airlock.toml";

/// The file that counts, if there is one.
///
/// # Errors
/// A file that was asked for by name is not there.
pub fn find(asked: Option<&Path>) -> Result<Option<PathBuf>, Problems> {
    if let Some(path) = asked {
        return match path.is_file() {
            true => Ok(Some(path.to_owned())),
            false => Err(Problems::one(
                Some(path),
                "",
                "there is no such file: airlock init writes one",
            )),
        };
    }
    let own = xdg("XDG_CONFIG_HOME", ".config").map(|dir| dir.join(FILE_NAME));
    Ok([Some(PathBuf::from(FILE_NAME)), own]
        .into_iter()
        .flatten()
        .find(|path| path.is_file()))
}

/// Reads a file, without looking for upstreams elsewhere.
///
/// # Errors
/// Everything that is wrong with it.
pub fn read(path: &Path) -> Result<Config, Problems> {
    // Absolute, so that its relative paths mean the same wherever they are used.
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let bytes = std::fs::read(&path)
        .map_err(|why| Problems::one(Some(&path), "", format!("cannot read: {why}")))?;
    let text = String::from_utf8(bytes).map_err(|error| {
        let valid = error.utf8_error().valid_up_to();
        let before =
            String::from_utf8_lossy(error.as_bytes().get(..valid).unwrap_or_default()).into_owned();
        let message = "this is not UTF-8: save the file as UTF-8";
        Problems {
            file: Some(path.clone()),
            problems: vec![Problem::at(&before, &(valid..valid), "", message)],
        }
    })?;
    parse(&text, &path)
}

/// Reads the file, or starts from defaults without one; where no upstream is named, takes it from the environment.
///
/// # Errors
/// Everything that is wrong, or what to set.
pub async fn load(file: Option<&Path>, variables: Variables<'_>) -> Result<Config, Problems> {
    let mut config = match file {
        Some(path) => read(path)?,
        None => Config::empty(Source::Environment),
    };
    if config.upstreams.is_empty() {
        environment::discover(&mut config, variables).await?;
    }
    Ok(config)
}

/// The process's own variables.
pub fn process_variables(name: &str) -> Option<String> {
    std::env::var(name).ok()
}
