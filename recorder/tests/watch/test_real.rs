//! The same against a real API server, where `kube-apiserver`, `etcd` and `openssl` are installed.
//!
//! The scripted server is only as good as its author's reading of the protocol; this one decides.

use std::fs;
use std::io::Write as _;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use flowtape_schemas::cluster::{Bound, NamespaceRow};
use libtest_mimic::Trial;
use serde_json::json;

use crate::tape::{recording, rows, wait_for};
use crate::test;
use crate::watcher::Watcher;

const TOKEN: &str = "watcher-of-tests";

pub(crate) fn tests() -> Vec<Trial> {
    vec![test("a_real_api_server_is_watched", real)]
}

/// A process that ends with the test.
struct Service(Child);

impl Drop for Service {
    fn drop(&mut self) {
        // One that has ended cannot be killed, and need not be.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn start(command: &mut Command) -> Service {
    let command = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    Service(command.spawn().unwrap())
}

fn is_installed(program: &str) -> bool {
    let tried = Command::new(program)
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    tried.is_ok()
}

fn free_port() -> u16 {
    TcpListener::bind(("127.0.0.1", 0))
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
}

fn real() {
    let missing: Vec<&str> = ["etcd", "kube-apiserver", "kubectl", "openssl"]
        .into_iter()
        .filter(|program| !is_installed(program))
        .collect();
    if !missing.is_empty() {
        let text = format!(
            "SKIPPED: no real API server is watched: {} missing\n",
            missing.join(", ")
        );
        std::io::stderr().write_all(text.as_bytes()).unwrap();
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let (_etcd, _apiserver, kubeconfig) = cluster(home.path());
    let kubectl = |arguments: &[&str]| {
        let mut command = Command::new("kubectl");
        command.arg("--kubeconfig").arg(&kubeconfig).args(arguments);
        command
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .unwrap()
            .success()
    };
    wait_for("API server", || kubectl(&["get", "namespaces"]).then_some(()));
    let watcher = Watcher::with(&kubeconfig, &["--strict"]);
    watcher.wait_until_said("watching ");
    assert!(kubectl(&["create", "namespace", "shop"]));
    let tape = watcher.tape();
    let shop = || rows::<NamespaceRow>(&tape).into_iter().filter(|row| row.name == "shop");
    wait_for("new namespace", || shop().next());
    assert!(kubectl(&["label", "namespace", "shop", "tier=front"]));
    wait_for("label", || shop().find(|row| row.labels.contains_key("tier")));
    let ended = watcher.stop();
    assert_eq!(ended.code, Some(0), "{:?}", ended.said);
    let mut versions: Vec<NamespaceRow> = rows(ended.tape());
    versions.retain(|row| row.name == "shop");
    versions.sort_by_key(|row| row.valid_from);
    let bounds: Vec<(Bound, Bound)> = versions.iter().map(|row| (row.from_bound, row.to_bound)).collect();
    assert_eq!(
        bounds,
        [(Bound::Declared, Bound::Observed), (Bound::Observed, Bound::Assumed)]
    );
    assert!(recording(ended.tape()).gaps.is_empty());
}

/// A control plane of one `etcd` and one API server on loopback, and a kubeconfig for it.
fn cluster(home: &Path) -> (Service, Service, std::path::PathBuf) {
    let (etcd_port, peer_port, port) = (free_port(), free_port(), free_port());
    let etcd_url = format!("http://127.0.0.1:{etcd_port}");
    let etcd = start(
        Command::new("etcd")
            .arg("--data-dir")
            .arg(home.join("etcd"))
            .args(["--listen-client-urls", &etcd_url, "--advertise-client-urls", &etcd_url])
            .args(["--listen-peer-urls", &format!("http://127.0.0.1:{peer_port}")]),
    );
    let key = home.join("key.pem");
    let made = Command::new("openssl")
        .args(["genrsa", "-out"])
        .arg(&key)
        .args(["2048"])
        .stderr(Stdio::null())
        .status();
    assert!(made.unwrap().success());
    fs::write(
        home.join("tokens.csv"),
        format!("{TOKEN},watcher,watcher,system:masters\n"),
    )
    .unwrap();
    let apiserver = start(
        Command::new("kube-apiserver")
            .args(["--etcd-servers", &etcd_url, "--bind-address", "127.0.0.1"])
            .args([
                "--secure-port",
                &port.to_string(),
                "--service-cluster-ip-range",
                "10.0.0.0/24",
            ])
            .args([
                "--authorization-mode",
                "RBAC",
                "--service-account-issuer",
                "https://test",
            ])
            .arg("--cert-dir")
            .arg(home.join("certificates"))
            .arg("--token-auth-file")
            .arg(home.join("tokens.csv"))
            .arg("--service-account-key-file")
            .arg(&key)
            .arg("--service-account-signing-key-file")
            .arg(&key),
    );
    let kubeconfig = home.join("kubeconfig");
    let config = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "test",
        "clusters": [{"name": "test", "cluster": {"server": format!("https://127.0.0.1:{port}"), "insecure-skip-tls-verify": true}}],
        "users": [{"name": "test", "user": {"token": TOKEN}}],
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}]
    });
    fs::write(&kubeconfig, config.to_string()).unwrap();
    (etcd, apiserver, kubeconfig)
}
