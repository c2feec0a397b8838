//! The entry of a key in `airlock.toml`, added without touching anything else there.

use anyhow::{Context as _, anyhow};
use toml_edit::{ArrayOfTables, DocumentMut, Item, Table, value};

use crate::config::client_key::DEFAULT_TENANT;
use crate::config::{KeyHash, parse};
use crate::failure::Failure;

/// The entry as text.
pub fn text(name: &str, tenant: &str, hash: KeyHash) -> String {
    let mut document = DocumentMut::new();
    let mut rows = ArrayOfTables::new();
    rows.push(table(name, tenant, hash));
    document.insert("key", Item::ArrayOfTables(rows));
    document.to_string()
}

/// Whether the names can stand in an entry.
///
/// # Errors
/// Why not (64).
pub fn judge(name: &str, tenant: &str, hash: KeyHash) -> Result<(), Failure> {
    match parse::parse(&text(name, tenant, hash), "airlock.toml".as_ref()) {
        Ok(_) => Ok(()),
        Err(problems) => {
            let told: Vec<_> = problems
                .problems
                .iter()
                .map(|p| p.message.as_str())
                .collect();
            Err(Failure::usage(anyhow!(told.join("\n"))))
        }
    }
}

/// The configuration with the entry at the end of its keys.
///
/// # Errors
/// The text is not TOML, or `key` is something else in it.
pub fn append(config: &str, name: &str, tenant: &str, hash: KeyHash) -> anyhow::Result<String> {
    let mut document: DocumentMut = config
        .parse()
        .context("the file is not TOML: airlock config check tells where")?;
    document
        .entry("key")
        .or_insert_with(|| Item::ArrayOfTables(ArrayOfTables::new()))
        .as_array_of_tables_mut()
        .context("`key` is something else than [[key]] there")?
        .push(table(name, tenant, hash));
    Ok(document.to_string())
}

fn table(name: &str, tenant: &str, hash: KeyHash) -> Table {
    let mut table = Table::new();
    table.insert("name", value(name));
    table.insert("hash", value(hash.to_string()));
    if tenant != DEFAULT_TENANT {
        table.insert("tenant", value(tenant));
    }
    table
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;
    use std::path::Path;

    #[test]
    fn an_entry_is_added_behind_the_others_and_comments_stay() {
        let before = "# mine\n[gateway] # here\nlisten = \"127.0.0.1:1\"\n# after\n";
        let once = append(before, "ci", "acme", KeyHash::of("1")).unwrap();
        let twice = append(&once, "bot", "default", KeyHash::of("2")).unwrap();
        assert!(
            twice.starts_with("# mine\n[gateway] # here\nlisten = \"127.0.0.1:1\"\n"),
            "{twice}"
        );
        assert!(twice.contains("# after"), "{twice}");
        let config = parse::parse(&twice, Path::new("/airlock.toml")).unwrap();
        let keys: Vec<_> = config.keys.iter().map(|k| (&*k.name, &*k.tenant)).collect();
        assert_eq!(keys, [("ci", "acme"), ("bot", "default")]);
        assert!(config.keys[0].hash.is(&KeyHash::of("1")));
    }

    #[test]
    fn names_that_would_be_refused_are_told_before_anything_is_made() {
        assert!(judge("ci", "acme", KeyHash::of("1")).is_ok());
        assert!(judge("C I", "acme", KeyHash::of("1")).is_err());
        assert!(judge("ci", "\"\n[gateway]", KeyHash::of("1")).is_err());
    }

    #[test]
    fn a_file_that_makes_no_sense_is_left_alone() {
        assert!(append("key = 1\n", "ci", "acme", KeyHash::of("1")).is_err());
        assert!(append("[key\n", "ci", "acme", KeyHash::of("1")).is_err());
    }
}
