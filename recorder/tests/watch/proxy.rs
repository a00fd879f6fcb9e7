//! TLS in front of the API server of the tests, which speaks plain HTTP: what a pod finds at `KUBERNETES_SERVICE_HOST`. It notes
//! which tokens come.

use std::sync::{Arc, Mutex};

use flowtape_apiserver::process::ApiServer;
use rcgen::{CertifiedKey, generate_simple_self_signed};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

/// A running proxy; dropping it ends it.
pub(crate) struct Proxy {
    pub(crate) port: u16,
    /// The certificate it shows, in PEM.
    pub(crate) certificate: String,
    tokens: Arc<Mutex<Vec<String>>>,
    _runtime: Runtime,
}

impl Proxy {
    /// Starts one on a free port of loopback.
    pub(crate) fn before(server: &ApiServer) -> Self {
        let CertifiedKey { cert, signing_key } = generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(signing_key.serialize_der()));
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![cert.der().clone()], key)
            .unwrap();
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        let runtime = builder.worker_threads(1).enable_all().build().unwrap();
        let listener = runtime.block_on(TcpListener::bind(("127.0.0.1", 0))).unwrap();
        let port = listener.local_addr().unwrap().port();
        let tokens = Arc::new(Mutex::new(Vec::new()));
        let to = server.url().trim_start_matches("http://").to_owned();
        runtime.spawn(accept(
            listener,
            TlsAcceptor::from(Arc::new(config)),
            to,
            Arc::clone(&tokens),
        ));
        Self {
            port,
            certificate: cert.pem(),
            tokens,
            _runtime: runtime,
        }
    }

    /// The tokens that came, each once where it came several times in a row.
    pub(crate) fn tokens(&self) -> Vec<String> {
        self.tokens.lock().unwrap().clone()
    }
}

async fn accept(listener: TcpListener, tls: TlsAcceptor, to: String, tokens: Arc<Mutex<Vec<String>>>) {
    while let Ok((stream, _)) = listener.accept().await {
        let (tls, to, tokens) = (tls.clone(), to.clone(), Arc::clone(&tokens));
        tokio::spawn(async move {
            // A client that does not like the certificate goes away.
            let _ = carry(stream, &tls, &to, &tokens).await;
        });
    }
}

/// Carries bytes both ways until either side ends.
async fn carry(stream: TcpStream, tls: &TlsAcceptor, to: &str, tokens: &Mutex<Vec<String>>) -> std::io::Result<()> {
    let (mut asks, mut hears) = tokio::io::split(tls.accept(stream).await?);
    let server = TcpStream::connect(to).await?;
    let (mut answers, mut asked) = server.into_split();
    let forth = async {
        let mut buffer = vec![0; 16 << 10];
        loop {
            let length = asks.read(&mut buffer).await?;
            if length == 0 {
                return asked.shutdown().await;
            }
            note(&buffer[..length], tokens);
            asked.write_all(&buffer[..length]).await?;
        }
    };
    let back = async { tokio::io::copy(&mut answers, &mut hears).await.map(drop) };
    tokio::select! {
        ended = forth => ended,
        ended = back => ended,
    }
}

/// A request of this client is shorter than a piece of TLS, so its head stands in one.
fn note(request: &[u8], tokens: &Mutex<Vec<String>>) {
    let text = String::from_utf8_lossy(request);
    for line in text.lines() {
        let Some((name, value)) = line.split_once(": Bearer ") else {
            continue;
        };
        let mut tokens = tokens.lock().unwrap();
        if name.eq_ignore_ascii_case("authorization") && tokens.last().is_none_or(|last| last != value) {
            tokens.push(value.to_owned());
        }
    }
}
