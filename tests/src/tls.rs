//! A TLS proxy in front of an HTTP server, with its own certificate authority.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use tempfile::TempDir;
use tokio::{
    net::{TcpListener, TcpStream},
    process::Command,
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    },
};

/// So long a certificate is valid, in days: longer than a test.
const DAYS: &str = "2";

/// An address at which a server is reached over TLS. Ends with the test's runtime.
#[derive(Debug)]
pub struct Front {
    /// `https://127.0.0.1:…`
    pub url: String,
    /// The authority's certificate, to be trusted.
    pub ca: PathBuf,
    _dir: TempDir,
}

impl Front {
    /// A front of the server at `host`, an address with a port.
    pub async fn before(host: &str) -> Self {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let ca = dir.path().join("ca.pem");
        let acceptor = acceptor(dir.path()).await;
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("https://{}", listener.local_addr().expect("it is bound"));
        let host = host.to_owned();
        tokio::spawn(async move {
            while let Ok((caller, _)) = listener.accept().await {
                let (acceptor, host) = (acceptor.clone(), host.clone());
                tokio::spawn(async move {
                    // Requester does not trust us, or goes away, is told nothing.
                    let Ok(mut caller) = acceptor.accept(caller).await else { return };
                    let Ok(mut server) = TcpStream::connect(host).await else { return };
                    let _ = tokio::io::copy_bidirectional(&mut caller, &mut server).await;
                });
            }
        });
        Self { url, ca, _dir: dir }
    }
}

async fn acceptor(dir: &Path) -> TlsAcceptor {
    let key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", DAYS];
    let authority = ["-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=tests"];
    request(dir, &[&key[..], &authority, &["-addext", "keyUsage=critical,keyCertSign"]].concat()).await;
    let server = ["-keyout", "server.key", "-out", "server.pem", "-subj", "/CN=127.0.0.1"];
    let signed = ["-CA", "ca.pem", "-CAkey", "ca.key", "-addext", "subjectAltName=IP:127.0.0.1"];
    let is_no_ca = ["-addext", "basicConstraints=critical,CA:FALSE"];
    request(dir, &[&key[..], &server, &signed, &is_no_ca].concat()).await;
    let chain = vec![CertificateDer::from_pem_file(dir.join("server.pem")).expect("openssl writes PEM")];
    let key = PrivateKeyDer::from_pem_file(dir.join("server.key")).expect("openssl writes PEM");
    let provider = Arc::new(tokio_rustls::rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("the provider knows the usual versions")
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .expect("the key is the certificate's");
    TlsAcceptor::from(Arc::new(config))
}

/// `openssl req -x509`
async fn request(dir: &Path, arguments: &[&str]) {
    let mut command = Command::new("openssl");
    command.args(["req", "-x509"]).args(arguments).current_dir(dir);
    let output = command.output().await.expect("openssl can be started");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
