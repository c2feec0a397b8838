//! Changes grants in a TOML file and leaves everything else in it as it stands, comments included.

use anyhow::{Context as _, bail};
use toml_edit::{Array, DocumentMut, Item, Table, Value};

use airlock_policy::Grants;

/// What a policy is to get besides what it has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct More {
    /// Actions.
    pub actions: Vec<String>,
    /// Targets that it may ask.
    pub asks: Vec<String>,
    /// Kinds of events that it may be told.
    pub sees: Vec<String>,
}

/// The text with `more` granted in the table at `path` (empty: the file itself). Where nothing was granted yet, `base` is
/// written out first: an explicit table of grants stands in place of the default ones, not beside them.
///
/// # Errors
/// The text is not TOML, or something else stands where the grants should.
pub fn grant(text: &str, path: &[&str], base: &Grants, more: &More) -> anyhow::Result<String> {
    let mut document: DocumentMut = text
        .parse()
        .context("the file is not TOML: airlock config check tells where")?;
    let mut at: &mut dyn toml_edit::TableLike = document.as_table_mut();
    for step in path {
        at = at
            .entry(step)
            .or_insert_with(|| {
                let mut table = Table::new();
                // `[policy]` alone says nothing; only its entries are shown.
                table.set_implicit(true);
                Item::Table(table)
            })
            .as_table_like_mut()
            .with_context(|| format!("`{step}` is not a table"))?;
    }
    let grants = at
        .entry("grants")
        .or_insert_with(|| Item::Table(written_out(base)));
    let Some(grants) = grants.as_table_like_mut() else {
        bail!("`grants` is not a table")
    };
    add(grants, "actions", &more.actions)?;
    add(grants, "asks", &more.asks)?;
    add(grants, "sees", &more.sees)?;
    Ok(document.to_string())
}

fn written_out(grants: &Grants) -> Table {
    let list = |items: &[String]| Item::Value(Value::Array(items.iter().collect::<Array>()));
    let mut table = Table::new();
    table.insert("sees", list(&grants.sees));
    table.insert("actions", list(&grants.actions));
    if !grants.asks.is_empty() {
        table.insert("asks", list(&grants.asks));
    }
    table.insert("content", toml_edit::value(grants.content));
    if grants.wasi {
        table.insert("wasi", toml_edit::value(true));
    }
    table
}

fn add(grants: &mut dyn toml_edit::TableLike, key: &str, items: &[String]) -> anyhow::Result<()> {
    if items.is_empty() {
        return Ok(());
    }
    let list = grants
        .entry(key)
        .or_insert_with(|| Item::Value(Value::Array(Array::new())));
    let Some(list) = list.as_array_mut() else {
        bail!("`grants.{key}` is not a list")
    };
    for item in items {
        if !list.iter().any(|known| known.as_str() == Some(item)) {
            list.push(item);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;
    use airlock_policy::PolicySpec;

    fn actions(names: &[&str]) -> More {
        More {
            actions: names.iter().map(|name| (*name).to_owned()).collect(),
            ..More::default()
        }
    }

    #[test]
    fn comments_order_and_everything_else_stay() {
        let before = "# mine\n[gateway]\nlisten = \"127.0.0.1:1\" # here\n\n[policy.guard] # the guard\nmode = \"enforce\"\n\
                      grants = { sees = [\"*\"], actions = [\"annotate\"] } # few\n\n[policy.other]\norder = 3\n";
        let after = grant(
            before,
            &["policy", "guard"],
            &Grants::directory(),
            &actions(&["block"]),
        )
        .unwrap();
        assert_eq!(
            after,
            before.replace("[\"annotate\"]", "[\"annotate\", \"block\"]")
        );
    }

    #[test]
    fn what_is_granted_already_is_not_granted_twice() {
        let before = "[grants]\nactions = [\"block\"]\n";
        assert_eq!(
            grant(before, &[], &Grants::directory(), &actions(&["block"])).unwrap(),
            before
        );
    }

    #[test]
    fn the_first_grant_keeps_what_the_default_gave() {
        let after = grant(
            "# notes\norder = 1\n",
            &[],
            &Grants::directory(),
            &actions(&["block"]),
        )
        .unwrap();
        assert!(after.starts_with("# notes\norder = 1\n"), "{after}");
        let spec: PolicySpec = toml::from_str(&after).unwrap();
        let expected = Grants {
            actions: vec!["annotate".into(), "block".into()],
            ..Grants::directory()
        };
        assert_eq!(spec.grants, Some(expected));
    }

    #[test]
    fn an_entry_is_added_where_there_is_none() {
        let after = grant(
            "",
            &["policy", "guard"],
            &Grants::directory(),
            &actions(&["stop"]),
        )
        .unwrap();
        let root: toml::Table = after.parse().unwrap();
        assert_eq!(
            root["policy"]["guard"]["grants"]["actions"][1].as_str(),
            Some("stop")
        );
        assert!(
            !after.contains("[policy]\n") && !after.contains("[policy.guard]\n"),
            "{after}"
        );
    }

    #[test]
    fn a_file_that_makes_no_sense_is_left_alone() {
        assert!(
            grant(
                "grants = 1\n",
                &[],
                &Grants::directory(),
                &actions(&["stop"])
            )
            .is_err()
        );
        assert!(grant("[grants\n", &[], &Grants::directory(), &actions(&["stop"])).is_err());
    }
}
