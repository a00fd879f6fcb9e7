//! The command line: where to listen, and what to begin with.

use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use clap::Parser;
use tokio::net::TcpListener;

use crate::server::{Server, router};

/// A scripted Kubernetes API server for tests. It listens on loopback only.
#[derive(Debug, Parser)]
#[command(name = "flowtape-apiserver", version)]
pub struct Cli {
    /// Port on 127.0.0.1; 0 takes a free one
    #[arg(long, default_value_t = 0)]
    pub port: u16,
    /// File in which the objects outlive this process
    #[arg(long, value_name = "FILE")]
    pub state: Option<PathBuf>,
    /// Bearer token that requests must bring
    #[arg(long, value_name = "TEXT")]
    pub token: Option<String>,
    /// What an `exec` runs, whatever the image of the pod
    #[arg(long, value_name = "FILE")]
    pub program: Option<PathBuf>,
    /// Write a kubeconfig for this server
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
}

/// Serves until killed. The first line on stdout is the address.
pub fn run(cli: Cli) -> io::Result<()> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(serve(cli))
}

async fn serve(cli: Cli) -> io::Result<()> {
    let Cli {
        port,
        state,
        token,
        program,
        kubeconfig,
    } = cli;
    let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], port))).await?;
    let address = format!("http://{}", listener.local_addr()?);
    if let Some(file) = kubeconfig {
        write_kubeconfig(&file, &address, token.as_deref())?;
    }
    let server = Server::open(state, token, program)?;
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{address}")?;
    stdout.flush()?;
    drop(stdout);
    axum::serve(listener, router(server)).await
}

/// A kubeconfig is YAML, of which JSON is a part.
fn write_kubeconfig(file: &Path, address: &str, token: Option<&str>) -> io::Result<()> {
    let config = serde_json::json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "test",
        "clusters": [{"name": "test", "cluster": {"server": address}}],
        "users": [{"name": "test", "user": token.map_or_else(|| serde_json::json!({}), |token| serde_json::json!({"token": token}))}],
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test", "namespace": "default"}}]
    });
    std::fs::write(file, config.to_string())
}
