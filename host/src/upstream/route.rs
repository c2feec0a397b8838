//! Which upstream, and under which name, a model is asked for.

use std::sync::Arc;

use crate::upstream::settings::RouteConfig;
use airlock_core::event::target::Target;

/// The table of routes, in the order of the configuration.
#[derive(Clone, Debug, Default)]
pub struct Routes {
    routes: Vec<RouteConfig>,
    /// Serves everything when there are no routes.
    first: Option<Arc<str>>,
}

impl Routes {
    /// The routes in their order. Without any, `first` serves everything.
    pub fn new(routes: &[RouteConfig], first: Option<&str>) -> Self {
        Self {
            routes: routes.to_vec(),
            first: first.map(Arc::from),
        }
    }

    /// The upstreams to which routes lead first, each once.
    pub fn upstreams(&self) -> Vec<&str> {
        let mut names: Vec<&str> = Vec::new();
        for route in &self.routes {
            if !names.contains(&route.upstream.as_str()) {
                names.push(&route.upstream);
            }
        }
        names
    }

    /// Models that a route names without a pattern: a client can ask for each.
    pub fn named(&self) -> impl Iterator<Item = &str> {
        let names = self.routes.iter().map(|route| route.model.as_str());
        names.filter(|name| !name.contains('*'))
    }

    /// Where a call for `model` goes: the route's upstream, then its fallbacks. Without any routes: the first upstream. Empty
    /// if there are routes and none matches: the model is then refused by name rather than sent somewhere by chance.
    pub fn resolve(&self, model: &str) -> Vec<Target> {
        if self.routes.is_empty() {
            return self
                .first
                .iter()
                .map(|upstream| Target {
                    upstream: upstream.clone(),
                    model: model.into(),
                })
                .collect();
        }
        let Some(route) = self
            .routes
            .iter()
            .find(|route| matches(&route.model, model))
        else {
            return Vec::new();
        };
        let to: Arc<str> = route.to_model.as_deref().unwrap_or(model).into();
        std::iter::once(&route.upstream)
            .chain(&route.fallback)
            .map(|upstream| Target {
                upstream: upstream.as_str().into(),
                model: to.clone(),
            })
            .collect()
    }
}

/// Whether `text` has the shape of `glob`, in which `*` stands for any run of characters. Linear: each literal part is
/// looked for once, from the left, and the last one at the end.
fn matches(glob: &str, text: &str) -> bool {
    let Some((head, tail)) = glob.split_once('*') else {
        return glob == text;
    };
    let Some(mut rest) = text.strip_prefix(head) else {
        return false;
    };
    let (middle, last) = tail.rsplit_once('*').unwrap_or(("", tail));
    for part in middle.split('*') {
        let Some(at) = rest.find(part) else {
            return false;
        };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn globs_match_as_people_expect() {
        for (glob, text, expected) in [
            ("*", "", true),
            ("*", "gpt-4o", true),
            ("gpt-*", "gpt-4o", true),
            ("gpt-*", "o3", false),
            ("gpt-4o", "gpt-4o-mini", false),
            ("*-mini", "gpt-4o-mini", true),
            ("*-mini", "gpt-4o-mini-2", false),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "a-c", false),
            ("a*a", "a", false),
            ("a**b", "ab", true),
            ("*é*", "café au lait", true),
        ] {
            assert_eq!(matches(glob, text), expected, "{glob} against {text}");
        }
    }

    fn routes(rows: &[(&str, &str, Option<&str>, &[&str])]) -> Routes {
        let rows: Vec<RouteConfig> = rows
            .iter()
            .map(|(model, upstream, to_model, fallback)| RouteConfig {
                model: (*model).into(),
                upstream: (*upstream).into(),
                to_model: to_model.map(Into::into),
                fallback: fallback.iter().map(|f| (*f).into()).collect(),
            })
            .collect();
        Routes::new(&rows, Some("main"))
    }

    fn resolve(routes: &Routes, model: &str) -> Vec<(String, String)> {
        let targets = routes.resolve(model);
        targets
            .iter()
            .map(|t| (t.upstream.to_string(), t.model.to_string()))
            .collect()
    }

    #[test]
    fn without_routes_the_first_upstream_serves_every_model() {
        assert_eq!(resolve(&routes(&[]), "m"), [("main".into(), "m".into())]);
    }

    #[test]
    fn the_first_matching_route_counts_and_renames_for_its_fallbacks_too() {
        let routes = routes(&[
            ("fast-*", "spare", Some("small"), &["main"]),
            ("*", "main", None, &[]),
        ]);
        assert_eq!(
            resolve(&routes, "fast-1"),
            [
                ("spare".into(), "small".into()),
                ("main".into(), "small".into())
            ]
        );
        assert_eq!(resolve(&routes, "slow"), [("main".into(), "slow".into())]);
    }

    #[test]
    fn a_model_that_no_route_names_goes_nowhere() {
        assert!(resolve(&routes(&[("a", "main", None, &[])]), "b").is_empty());
    }
}
