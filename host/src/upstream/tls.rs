//! TLS to upstreams: whom Airlock trusts, and the certificate by which it is known itself.

use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

use crate::upstream::settings::UpstreamConfig;

/// Names a file of certificates, for all programs of the machine.
const VARIABLE: &str = "SSL_CERT_FILE";

/// A key of `[upstream.NAME]`, and what is wrong with it.
pub(super) type Wrong = (&'static str, String);

/// Authorities that vouch for servers: Mozilla's, and those of the file that `SSL_CERT_FILE` names. One that cannot be
/// read is said in the log and does not keep Airlock from starting: the variable is not Airlock's own.
pub(super) fn authorities() -> RootCertStore {
    let mut roots = RootCertStore {
        roots: webpki_roots::TLS_SERVER_ROOTS.to_vec(),
    };
    if let Some(path) = std::env::var_os(VARIABLE).filter(|path| !path.is_empty()) {
        match certificates(Path::new(&path)) {
            Ok(more) => {
                roots.add_parsable_certificates(more);
            }
            Err(error) => tracing::warn!("{VARIABLE}: {error}"),
        }
    }
    roots
}

/// TLS as an upstream wants it, without protocols above it.
///
/// # Errors
/// The key of the configuration that is at fault, and why.
pub(super) fn client(
    mut roots: RootCertStore,
    config: &UpstreamConfig,
) -> Result<ClientConfig, Wrong> {
    if let Some(path) = &config.ca_file {
        for certificate in certificates(path).map_err(|error| ("ca_file", error))? {
            roots.add(certificate).map_err(|error| {
                let message = format!("{} holds no authority: {error}", path.display());
                ("ca_file", message)
            })?;
        }
    }
    let builder = plain().with_root_certificates(roots);
    let (Some(cert_file), Some(key_file)) = (&config.client_cert_file, &config.client_key_file)
    else {
        return Ok(builder.with_no_client_auth());
    };
    let chain = certificates(cert_file).map_err(|error| ("client_cert_file", error))?;
    let key = PrivateKeyDer::from_pem_file(key_file).map_err(|error| {
        let message = format!(
            "cannot read a private key in PEM from {}: {error}",
            key_file.display()
        );
        ("client_key_file", message)
    })?;
    builder.with_client_auth_cert(chain, key).map_err(|error| {
        let message = format!(
            "{} does not belong to {}: {error}",
            key_file.display(),
            cert_file.display()
        );
        ("client_key_file", message)
    })
}

/// TLS with these authorities and nothing of one's own.
pub(super) fn anonymous(roots: RootCertStore) -> ClientConfig {
    plain().with_root_certificates(roots).with_no_client_auth()
}

fn plain() -> rustls::ConfigBuilder<ClientConfig, rustls::WantsVerifier> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(rustls::DEFAULT_VERSIONS)
        // The provider has suites for both versions: nothing to fall back from.
        .unwrap_or_else(|_| ClientConfig::builder())
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let cannot = |error: &dyn std::fmt::Display| {
        format!(
            "cannot read certificates in PEM from {}: {error}",
            path.display()
        )
    };
    let all: Result<Vec<_>, _> = CertificateDer::pem_file_iter(path)
        .map_err(|error| cannot(&error))?
        .collect();
    let all = all.map_err(|error| cannot(&error))?;
    if all.is_empty() {
        return Err(cannot(&"there is none in it"));
    }
    Ok(all)
}
