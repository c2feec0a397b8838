//! Upstreams without a configuration: what the usual environment variables and the usual local ports offer.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use crate::config::{Config, Problems, validate};
use crate::upstream::key::KeyRef;
use crate::upstream::settings::{Credential, RouteConfig, UpstreamConfig, parse_url};

/// Model servers that people run at home, with their default ports.
const LOCAL: [(&str, u16); 2] = [("vllm", 8000), ("ollama", 11434)];

/// A server on loopback answers at once, or it is not there.
const PROBE: Duration = Duration::from_millis(300);

/// Where variables come from; a parameter, so that tests need not change the process's own.
pub type Variables<'a> = &'a (dyn Fn(&str) -> Option<String> + Sync);

/// Adds upstreams to a configuration that has none, and notes what was chosen and why.
///
/// # Errors
/// What to set, if nothing is found; which variable makes no sense.
pub async fn discover(config: &mut Config, variables: Variables<'_>) -> Result<(), Problems> {
    if !from_variables(config, variables)? {
        let answers = probe().await;
        from_ports(config, &answers)?;
    }
    Ok(())
}

/// A vendor whose SDK reads variables that Airlock reads too.
struct Vendor {
    /// Name of the upstream.
    name: &'static str,
    /// Variables of the key, the first that is set counts.
    keys: &'static [&'static str],
    /// Variable of the address, as the vendor's SDK takes it.
    base: &'static str,
    /// The vendor's own address.
    own: &'static str,
    /// Its models, where another upstream stands beside it.
    models: &'static str,
    /// The API that is spoken at whatever address is set.
    dialect: Option<&'static str>,
}

const VENDORS: [Vendor; 3] = [
    Vendor {
        name: "openai",
        keys: &["OPENAI_API_KEY"],
        base: "OPENAI_BASE_URL",
        own: "https://api.openai.com/v1",
        models: "*",
        dialect: None,
    },
    Vendor {
        name: "anthropic",
        keys: &["ANTHROPIC_API_KEY"],
        base: "ANTHROPIC_BASE_URL",
        own: "https://api.anthropic.com",
        models: "claude*",
        dialect: Some("anthropic-messages"),
    },
    Vendor {
        name: "gemini",
        keys: &["GEMINI_API_KEY", "GOOGLE_API_KEY"],
        base: "GOOGLE_GEMINI_BASE_URL",
        own: "https://generativelanguage.googleapis.com",
        models: "gemini*",
        dialect: Some("gemini"),
    },
];

fn from_variables(config: &mut Config, variables: Variables<'_>) -> Result<bool, Problems> {
    let mut models = Vec::new();
    for vendor in &VENDORS {
        if from_vendor(config, variables, vendor)? {
            models.push(vendor);
        }
    }
    // The narrower names first; what is left goes to the first upstream, as it would alone.
    if models.len() > 1 {
        let all = models.iter().rev().filter(|vendor| vendor.models != "*");
        let to = |model: &str, upstream: &str| RouteConfig {
            model: model.to_owned(),
            upstream: upstream.to_owned(),
            to_model: None,
            fallback: Vec::new(),
        };
        let routes: Vec<_> = all.map(|vendor| to(vendor.models, vendor.name)).collect();
        config.routes.extend(routes);
        if let Some(first) = models.first() {
            config.routes.push(to("*", first.name));
        }
    }
    Ok(!models.is_empty())
}

fn from_vendor(
    config: &mut Config,
    variables: Variables<'_>,
    vendor: &Vendor,
) -> Result<bool, Problems> {
    let set = |name: &str| variables(name).filter(|value| !value.trim().is_empty());
    let key = vendor.keys.iter().find(|name| set(name).is_some());
    let base = set(vendor.base);
    if key.is_none() && base.is_none() {
        return Ok(false);
    }
    let variable = vendor.base;
    let url = parse_url(base.as_deref().unwrap_or(vendor.own))
        .map_err(|why| Problems::one(None, variable, why))?;
    if validate::calls_itself(config, &url) {
        return Err(Problems::one(
            None,
            variable,
            format!(
                "{url} is Airlock itself. This variable is for the application: start Airlock without it \
                 (env -u {variable} airlock serve), or name the model server in airlock.toml"
            ),
        ));
    }
    let mut upstream = UpstreamConfig::new(url.clone());
    upstream.dialect = vendor.dialect.map(str::to_owned).into_iter().collect();
    let from = match (&base, key) {
        (None, Some(key)) => format!("{key} is set"),
        _ => variable.to_owned(),
    };
    let whose = match key {
        Some(key) => {
            upstream.key = Some(KeyRef::Env((*key).to_owned()));
            upstream.credential = Some(Credential::Own);
            format!("with the key in {key} in place of the client's")
        }
        None => keyless(config, &mut upstream).to_owned(),
    };
    let name = vendor.name;
    config
        .notes
        .push(format!("upstream {name}: {url} ({from}), {whose}"));
    config.upstreams.push((name.to_owned(), upstream));
    Ok(true)
}

/// Whose credential goes to a server for which Airlock has none. Clients that call with Airlock's keys have none for it either.
fn keyless(config: &Config, upstream: &mut UpstreamConfig) -> &'static str {
    if config.keys.is_empty() {
        return "with the client's own key";
    }
    upstream.credential = Some(Credential::None);
    "without a credential"
}

/// The local ports that accept a connection.
async fn probe() -> Vec<(&'static str, u16)> {
    let mut answers = Vec::new();
    for (name, port) in LOCAL {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let connecting = tokio::net::TcpStream::connect(address);
        if matches!(tokio::time::timeout(PROBE, connecting).await, Ok(Ok(_))) {
            answers.push((name, port));
        }
    }
    answers
}

fn from_ports(config: &mut Config, answers: &[(&str, u16)]) -> Result<(), Problems> {
    let own = [config.gateway.listen.port(), config.admin.listen.port()];
    let mut others = answers.iter().filter(|(_, port)| !own.contains(port));
    let Some((name, port)) = others.next() else {
        return Err(Problems::one(
            None,
            "",
            "no model server found. Set OPENAI_API_KEY, ANTHROPIC_API_KEY or GEMINI_API_KEY, or OPENAI_BASE_URL (for another \
             server), start vLLM (port 8000) or Ollama (port 11434), or write a configuration: airlock init",
        ));
    };
    let url = parse_url(&format!("http://127.0.0.1:{port}/v1"))
        .map_err(|why| Problems::one(None, "", why))?;
    let mut upstream = UpstreamConfig::new(url.clone());
    let whose = keyless(config, &mut upstream);
    config.notes.push(format!(
        "upstream {name}: {url} (no OPENAI_API_KEY or OPENAI_BASE_URL; this port answers), {whose}"
    ));
    if let Some((other, port)) = others.next() {
        config.notes.push(format!(
            "{other} answers at port {port} too and is not used: name both in airlock.toml"
        ));
    }
    config.upstreams.push(((*name).to_owned(), upstream));
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;
    use crate::config::Source;

    fn chosen(variables: &[(&str, &str)]) -> Result<Option<(UpstreamConfig, String)>, String> {
        let mut config = Config::empty(Source::Environment);
        let look = |name: &str| {
            variables
                .iter()
                .find(|(n, _)| *n == name)
                .map(|(_, v)| (*v).to_owned())
        };
        match from_variables(&mut config, &look) {
            Ok(false) => Ok(None),
            Ok(true) => Ok(Some((
                config.upstreams.remove(0).1,
                config.notes.join("\n"),
            ))),
            Err(problems) => Err(problems.to_string()),
        }
    }

    #[test]
    fn a_key_alone_means_openai_under_that_key() {
        let (upstream, note) = chosen(&[("OPENAI_API_KEY", "sk-x")]).unwrap().unwrap();
        assert_eq!(upstream.base_url, "https://api.openai.com/v1");
        assert_eq!(upstream.credential(), Credential::Own);
        assert!(
            note.contains("OPENAI_API_KEY") && !note.contains("sk-x"),
            "{note}"
        );
    }

    #[test]
    fn an_address_alone_forwards_the_clients_key() {
        let (upstream, _) = chosen(&[("OPENAI_BASE_URL", "http://gpu:8000/v1/")])
            .unwrap()
            .unwrap();
        assert_eq!(upstream.base_url, "http://gpu:8000/v1");
        assert_eq!(upstream.credential(), Credential::Forward);
    }

    #[test]
    fn the_address_of_airlock_itself_is_refused_under_each_of_its_names() {
        for url in [
            "http://127.0.0.1:4100/v1",
            "http://localhost:4100/v1",
            "http://[::1]:4100/v1",
            "http://127.0.0.1:4101/v1",
        ] {
            let message =
                chosen(&[("OPENAI_BASE_URL", url), ("OPENAI_API_KEY", "k")]).expect_err(url);
            assert!(
                message.contains("Airlock itself") && message.contains("env -u OPENAI_BASE_URL"),
                "{message}"
            );
        }
        assert!(chosen(&[("OPENAI_BASE_URL", "http://127.0.0.1:4102/v1")]).is_ok());
    }

    #[test]
    fn several_vendors_get_their_own_models_and_the_first_gets_the_rest() {
        let mut config = Config::empty(Source::Environment);
        let look = |name: &str| {
            let set = ["OPENAI_API_KEY", "GOOGLE_API_KEY", "ANTHROPIC_BASE_URL"];
            let value = if name.ends_with("URL") {
                "https://proxy.example"
            } else {
                "k"
            };
            set.contains(&name).then(|| value.to_owned())
        };
        assert!(from_variables(&mut config, &look).unwrap());
        let routes: Vec<_> = config
            .routes
            .iter()
            .map(|route| (&*route.model, &*route.upstream))
            .collect();
        let expected = [
            ("gemini*", "gemini"),
            ("claude*", "anthropic"),
            ("*", "openai"),
        ];
        assert_eq!(routes, expected);
        let anthropic = &config.upstreams[1].1;
        assert_eq!(anthropic.credential(), Credential::Forward);
        assert_eq!(anthropic.dialect, ["anthropic-messages"]);
    }

    #[test]
    fn empty_variables_count_as_unset() {
        assert!(
            chosen(&[("OPENAI_API_KEY", " "), ("OPENAI_BASE_URL", "")])
                .unwrap()
                .is_none()
        );
    }

    #[test]
    fn local_ports_are_taken_in_order_and_the_choice_is_told() {
        let mut config = Config::empty(Source::Environment);
        from_ports(&mut config, &[("vllm", 8000), ("ollama", 11434)]).unwrap();
        assert_eq!(config.upstreams[0].1.base_url, "http://127.0.0.1:8000/v1");
        assert_eq!(config.upstreams.len(), 1);
        assert!(
            config.notes.iter().any(|note| note.contains("11434")),
            "{:?}",
            config.notes
        );
    }

    #[test]
    fn with_nothing_at_all_the_message_says_what_to_set() {
        let message = from_ports(&mut Config::empty(Source::Environment), &[])
            .expect_err("nothing there")
            .to_string();
        for advice in ["OPENAI_API_KEY", "OPENAI_BASE_URL", "airlock init"] {
            assert!(message.contains(advice), "{message}");
        }
    }
}
