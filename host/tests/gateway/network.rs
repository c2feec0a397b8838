//! How an upstream is reached: authorities of one's own, client certificates, proxies. Real TLS and real sockets; the
//! certificates are made for each test.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::service::TowerToHyperService;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::RootCertStore;
use rustls::pki_types::PrivateKeyDer;
use rustls::server::WebPkiClientVerifier;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use crate::support::*;

const HOST: &str = "models.example";

/// An authority that nobody knows, and what it vouched for.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: rcgen::Certificate,
    dir: tempfile::TempDir,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(vec![]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        Self {
            certificate,
            issuer: Issuer::new(params, key),
            dir: tempfile::tempdir().unwrap(),
        }
    }

    fn vouch(&self, names: &[&str]) -> (rcgen::Certificate, KeyPair) {
        let names: Vec<String> = names.iter().map(|n| (*n).to_owned()).collect();
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(names).unwrap();
        (params.signed_by(&key, &self.issuer).unwrap(), key)
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    /// Its own certificate as `ca_file` names it.
    fn ca(&self) -> PathBuf {
        self.file("ca.pem", &self.certificate.pem())
    }
}

/// Serves a scripted upstream over TLS, and gives its port.
async fn secured(upstream: &Scripted, authority: &Authority, asks_for_certificate: bool) -> u16 {
    let (certificate, key) = authority.vouch(&[HOST, "localhost"]);
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .unwrap();
    let builder = if asks_for_certificate {
        let mut roots = RootCertStore::empty();
        roots.add(authority.certificate.der().clone()).unwrap();
        let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), provider)
            .build()
            .unwrap();
        builder.with_client_cert_verifier(verifier)
    } else {
        builder.with_no_client_auth()
    };
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let mut config = builder
        .with_single_cert(vec![certificate.der().clone()], key)
        .unwrap();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let router = upstream.router();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (acceptor, service) = (acceptor.clone(), TowerToHyperService::new(router.clone()));
            tokio::spawn(async move {
                if let Ok(stream) = acceptor.accept(stream).await {
                    let _ = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new())
                        .serve_connection(TokioIo::new(stream), service)
                        .await;
                }
            });
        }
    });
    port
}

/// A proxy: tunnels to `port` whatever name it is asked for, and answers itself what it should forward.
async fn proxy(port: u16) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let seen = Arc::new(Mutex::new(Vec::new()));
    let heads = seen.clone();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let heads = heads.clone();
            tokio::spawn(async move {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    head.push(client.read_u8().await.unwrap());
                }
                let head = String::from_utf8(head).unwrap();
                heads.lock().unwrap().push(head.clone());
                if head.starts_with("CONNECT ") {
                    let mut server = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
                    client
                        .write_all(b"HTTP/1.1 200 go on\r\n\r\n")
                        .await
                        .unwrap();
                    let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
                    return;
                }
                let body = answer().body;
                let head = format!(
                    "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
                    body.len()
                );
                client.write_all(head.as_bytes()).await.unwrap();
                client.write_all(&body).await.unwrap();
                // The request's body is read to its end, so that the answer is not lost in a reset.
                let _ = client.shutdown().await;
                let _ = tokio::io::copy(&mut client, &mut tokio::io::sink()).await;
            });
        }
    });
    (address, seen)
}

fn answer() -> Answer {
    Answer::json(
        json!({"id": "x", "object": "chat.completion", "created": 1, "model": "m",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "fine"}, "finish_reason": "stop"}]}),
    )
}

async fn ask(table: &str) -> Reply {
    let world = configured(table, vec![]).await;
    let request = json!({"model": "m", "messages": [{"role": "user", "content": "hello"}]});
    world.call("s", &request).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_authority_of_ones_own_is_trusted_where_it_is_named() {
    let (authority, upstream) = (Authority::new(), Scripted::start(vec![answer()]).await);
    let port = secured(&upstream, &authority, false).await;
    let table = format!("[upstream.x]\nbase_url = \"https://localhost:{port}/v1\"\nretries = 0\n");
    let reply = ask(&table).await;
    assert_eq!(
        (reply.status, &*reply.error_code()),
        (502, "airlock_upstream")
    );
    assert!(reply.text().contains("UnknownIssuer"), "{}", reply.text());
    assert!(upstream.asked().is_empty());
    let trusting = format!("{table}ca_file = {:?}\n", authority.ca());
    assert_eq!(ask(&trusting).await.said().at("0/content"), "fine");
    // Its word counts for the names that it vouched for, and no others.
    let other = trusting.replace("localhost", "127.0.0.1");
    assert_eq!(ask(&other).await.status, 502);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_asks_for_a_certificate_is_shown_it() {
    let (authority, upstream) = (Authority::new(), Scripted::start(vec![answer()]).await);
    let port = secured(&upstream, &authority, true).await;
    let table = format!(
        "[upstream.x]\nbase_url = \"https://localhost:{port}/v1\"\nretries = 0\nca_file = {:?}\n",
        authority.ca()
    );
    let reply = ask(&table).await;
    assert_eq!(
        (reply.status, &*reply.error_code()),
        (502, "airlock_upstream")
    );
    let (certificate, key) = authority.vouch(&["airlock"]);
    let table = format!(
        "{table}client_cert_file = {:?}\nclient_key_file = {:?}\n",
        authority.file("client.pem", &certificate.pem()),
        authority.file("client.key", &key.serialize_pem())
    );
    let reply = ask(&table).await;
    assert_eq!(reply.said().at("0/content"), "fine", "{}", reply.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_tunnels_what_is_secured_and_forwards_the_rest() {
    let (authority, upstream) = (Authority::new(), Scripted::start(vec![answer()]).await);
    let port = secured(&upstream, &authority, false).await;
    let (address, seen) = proxy(port).await;
    // Nobody but the proxy knows this name.
    let table = |scheme: &str| {
        format!(
            "[upstream.x]\nbase_url = \"{scheme}://{HOST}/v1?v=1\"\nretries = 0\nproxy = {address:?}\nca_file = {:?}\n",
            authority.ca()
        )
    };
    let reply = ask(&table("https")).await;
    assert_eq!(reply.said().at("0/content"), "fine", "{}", reply.text());
    assert!(
        upstream.asked()[0]
            .uri
            .to_string()
            .ends_with("/v1/chat/completions?v=1")
    );
    let reply = ask(&table("http")).await;
    assert_eq!(reply.said().at("0/content"), "fine", "{}", reply.text());
    let heads: Vec<String> = seen
        .lock()
        .unwrap()
        .iter()
        .map(|h| h.lines().next().unwrap().to_owned())
        .collect();
    assert_eq!(
        heads,
        [
            format!("CONNECT {HOST}:443 HTTP/1.1"),
            format!("POST http://{HOST}/v1/chat/completions?v=1 HTTP/1.1")
        ]
    );
    let dead = table("https").replace(&address, "http://127.0.0.1:1");
    let reply = ask(&dead).await;
    assert_eq!(
        (reply.status, &*reply.error_code()),
        (502, "airlock_upstream")
    );
    assert!(
        reply.text().contains("through the proxy 127.0.0.1:1"),
        "{}",
        reply.text()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_cannot_be_used_are_told_with_their_key() {
    let authority = Authority::new();
    let (certificate, key) = authority.vouch(&["airlock"]);
    let other = KeyPair::generate().unwrap();
    let good = authority.file("client.pem", &certificate.pem());
    let good_key = authority.file("client.key", &key.serialize_pem());
    let empty = authority.file("empty.pem", "");
    let foreign = authority.file("foreign.key", &other.serialize_pem());
    let absent = authority.dir.path().join("absent.pem");
    for (lines, key, file) in [
        (format!("ca_file = {absent:?}"), "ca_file", &absent),
        (format!("ca_file = {empty:?}"), "ca_file", &empty),
        (
            format!("client_cert_file = {empty:?}\nclient_key_file = {good_key:?}"),
            "client_cert_file",
            &empty,
        ),
        (
            format!("client_cert_file = {good:?}\nclient_key_file = {empty:?}"),
            "client_key_file",
            &empty,
        ),
        (
            format!("client_cert_file = {good:?}\nclient_key_file = {foreign:?}"),
            "client_key_file",
            &foreign,
        ),
    ] {
        let text = format!("[upstream.x]\nbase_url = \"https://localhost/v1\"\n{lines}\n");
        let config =
            airlock::config::parse::parse(&text, std::path::Path::new("/airlock.toml")).unwrap();
        let Err(problems) = airlock::gateway::Settings::new(config) else {
            panic!("{lines}")
        };
        let told = problems.to_string();
        assert!(
            told.contains(&format!("upstream.x.{key}"))
                && told.contains(&file.display().to_string()),
            "{told}"
        );
    }
}

struct Running(std::process::Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The program itself: what it takes from its environment cannot be given to this process.
#[tokio::test(flavor = "multi_thread")]
async fn the_environment_names_proxies_and_authorities() {
    let (authority, upstream) = (Authority::new(), Scripted::start(vec![answer()]).await);
    let port = secured(&upstream, &authority, false).await;
    let (address, seen) = proxy(port).await;
    let free = || {
        std::net::TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
    };
    let (gateway, admin) = (free(), free());
    let route = |name: &str| format!("[[route]]\nmodel = \"{name}\"\nupstream = \"{name}\"\n");
    let text = format!(
        "[gateway]\nlisten = \"{gateway}\"\n[admin]\nlisten = \"{admin}\"\n[data]\ndir = \"data\"\n\
         [upstream.far]\nbase_url = \"https://{HOST}/v1\"\n\
         [upstream.plain]\nbase_url = \"http://{HOST}/v1\"\n\
         [upstream.near]\nbase_url = \"https://near.localhost:{port}/v1\"\nretries = 0\n{}{}{}",
        route("far"),
        route("plain"),
        route("near")
    );
    let config = authority.file("airlock.toml", &text);
    let with_credential = address.replace("http://", "http://me:pw@");
    let child = std::process::Command::new(env!("CARGO_BIN_EXE_airlock"))
        .args(["serve", "--config"])
        .arg(config)
        .env_clear()
        .env("HOME", authority.dir.path())
        .env("SSL_CERT_FILE", authority.ca())
        .env("HTTPS_PROXY", &with_credential)
        .env("HTTP_PROXY", &with_credential)
        .env("NO_PROXY", "elsewhere.example")
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let _running = Running(child);
    let client = hyper_util::client::legacy::Client::builder(TokioExecutor::new()).build_http();
    let ask = async |model: &str| {
        let body = json!({"model": model, "messages": [{"role": "user", "content": "hello"}]});
        let request = http::Request::post(format!("http://{gateway}/v1/chat/completions"))
            .body(http_body_util::Full::<bytes::Bytes>::from(body.to_string()))
            .unwrap();
        let response = client.request(request).await.ok()?;
        let body = http_body_util::BodyExt::collect(response.into_body())
            .await
            .ok()?;
        Some(String::from_utf8(body.to_bytes().to_vec()).unwrap())
    };
    eventually("airlock answers", async || {
        ask("far").await.is_some_and(|said| said.contains("fine"))
    })
    .await;
    let said = ask("plain").await.unwrap();
    assert!(said.contains("fine"), "{said}");
    let before = seen.lock().unwrap().clone();
    for head in &before {
        // "me:pw"
        assert!(
            head.to_ascii_lowercase()
                .contains("proxy-authorization: basic bwu6chc="),
            "{head}"
        );
    }
    // What is on this machine is not asked of a proxy.
    ask("near").await.unwrap();
    assert_eq!(*seen.lock().unwrap(), before);
    assert!(
        upstream
            .asked()
            .iter()
            .all(|asked| !asked.headers.contains_key("proxy-authorization"))
    );
}
