//! Where components come from: the operator's entries, the policy directory and the built-in policies; and what these say
//! about each policy when they are looked at.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use super::candidate::Candidate;
use super::directory;
use super::error::{LoadError, Stage};
use super::limits::Limits;
use super::spec::{self, PolicySpec};

/// Where components come from.
pub(super) struct Sources {
    pub(super) dir: Option<PathBuf>,
    pub(super) builtins: BTreeMap<String, Cow<'static, [u8]>>,
}

/// What the sources say about one policy.
pub(super) struct Planned {
    pub(super) origin: String,
    pub(super) spec: PolicySpec,
    pub(super) stated: bool,
    pub(super) source: Source,
}

pub(super) enum Source {
    Load(Box<Candidate>),
    Broken(LoadError),
    /// Nothing is there to load.
    Gone,
    Disabled,
}

impl Planned {
    /// Whether its component comes from outside.
    pub(super) fn is_foreign(&self) -> bool {
        matches!(&self.source, Source::Load(candidate) if !candidate.builtin)
    }
}

impl Sources {
    /// What should serve, by the sources. `known`: policies that were there before.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub(super) fn plan(
        &self,
        specs: &BTreeMap<String, PolicySpec>,
        known: impl IntoIterator<Item = String>,
        limits: &Limits,
    ) -> Result<BTreeMap<String, Planned>, String> {
        let mut files = self
            .dir
            .as_deref()
            .map(directory::list)
            .transpose()?
            .unwrap_or_default();
        let components = files
            .iter()
            .filter(|(_, entry)| entry.component)
            .map(|(name, _)| name.clone());
        let names: BTreeSet<String> = components
            .chain(specs.keys().cloned())
            .chain(known)
            .collect();
        Ok(names
            .into_iter()
            .map(|name| {
                let file = files.remove(&name).unwrap_or_default();
                let planned = self.plan_one(&name, file, specs.get(&name), limits);
                (name, planned)
            })
            .collect())
    }

    fn plan_one(
        &self,
        name: &str,
        file: directory::Entry,
        entry: Option<&PolicySpec>,
        limits: &Limits,
    ) -> Planned {
        let in_dir = self
            .dir
            .as_ref()
            .filter(|_| file.component)
            .map(|d| d.join(format!("{name}.wasm")));
        let beside = file.spec;
        let builtin = self.builtins.get(name);
        let path = entry
            .and_then(|e| e.file.clone())
            .or_else(|| in_dir.clone().filter(|_| builtin.is_none()));
        let origin = match &path {
            Some(path) => path.display().to_string(),
            None => "builtin".to_owned(),
        };
        // The main configuration has the last word: whoever can write into the directory cannot overrule it.
        let spec = match (entry, &beside) {
            (Some(spec), _) => Ok(spec.clone()),
            (None, Some(Ok(spec))) => Ok(spec.clone()),
            (None, Some(Err(reason))) => Err(format!("`{name}.toml`: {reason}")),
            (None, None) => Ok(PolicySpec::default()),
        };
        let broken = |stage, reason: String| Source::Broken(LoadError::new(stage, reason));
        let (spec, source) = match spec {
            Err(reason) => (PolicySpec::default(), broken(Stage::Configure, reason)),
            Ok(spec) if !spec.enabled => (spec, Source::Disabled),
            Ok(spec) if !spec::is_name(name) => {
                let reason = "a policy's name has 1 to 64 of `a-z 0-9 -`: rename it".to_owned();
                (spec, broken(Stage::Configure, reason))
            }
            Ok(spec) if builtin.is_some() && in_dir.is_some() && spec.file.is_none() => {
                let reason = format!(
                    "`{name}` is built in, and a file replaces it only by an entry: set `file` under [policy.{name}], or \
                     rename the file"
                );
                (spec, broken(Stage::Trust, reason))
            }
            Ok(spec) => {
                let source = match (&path, builtin) {
                    (Some(path), _) => {
                        let limits = limits.patched(&spec.limits);
                        match directory::read(path, u64::from(limits.file_mib) << 20) {
                            Ok(bytes) => candidate(name, &spec, false, bytes.into()),
                            Err(reason) => broken(Stage::Read, reason),
                        }
                    }
                    (None, Some(bytes)) if entry.is_some() => {
                        candidate(name, &spec, true, bytes.clone())
                    }
                    (None, _) => Source::Gone,
                };
                (spec, source)
            }
        };
        Planned {
            origin,
            spec,
            stated: entry.is_some(),
            source,
        }
    }

    /// The directories in which a change may concern policies.
    pub(super) fn directories(&self, specs: &BTreeMap<String, PolicySpec>) -> BTreeSet<PathBuf> {
        let files = specs
            .values()
            .filter_map(|spec| spec.file.as_deref()?.parent().map(PathBuf::from));
        self.dir
            .iter()
            .cloned()
            .chain(files)
            .filter(|dir| !dir.as_os_str().is_empty())
            .collect()
    }
}

fn candidate(name: &str, spec: &PolicySpec, builtin: bool, bytes: Cow<'static, [u8]>) -> Source {
    Source::Load(Box::new(Candidate::new(name, spec.clone(), builtin, bytes)))
}
