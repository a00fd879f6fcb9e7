//! A watcher in a pod of the cluster: no kubeconfig, but the address in the environment and the service account's files where a
//! kubelet puts them.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use flowtape_schemas::cluster::PodRow;
use libtest_mimic::Trial;

use crate::cluster::{everything, new_pod};
use crate::proxy::Proxy;
use crate::tape::{rows, wait_for};
use crate::watcher::Watcher;
use crate::{server, test};

pub(crate) fn tests() -> Vec<Trial> {
    vec![
        test(
            "a_service_account_leads_to_the_cluster_and_its_token_is_renewed",
            account,
        ),
        test("a_certificate_of_somebody_else_is_refused", stranger),
    ]
}

/// What a kubelet mounts into a pod, where a mount namespace of its own shows it.
struct Account(tempfile::TempDir);

impl Account {
    fn new(certificate: &str, token: &str) -> Self {
        let account = Self(tempfile::tempdir().unwrap());
        fs::write(account.0.path().join("ca.crt"), certificate).unwrap();
        fs::write(account.0.path().join("namespace"), "flowtape").unwrap();
        account.renew(token);
        account
    }

    /// Puts another token in the place of the present one, at once, as a kubelet does.
    fn renew(&self, token: &str) {
        let (path, next) = (self.0.path().join("token"), self.0.path().join("token.next"));
        fs::write(&next, token).unwrap();
        fs::rename(next, path).unwrap();
    }

    /// The command that runs another one in the pod.
    fn command(&self, port: u16) -> Command {
        let mut command = in_a_mount_namespace(
            "at=$(readlink -f /var/run) && mount -t tmpfs none \"$at\" && mkdir -p \"$at/secrets/kubernetes.io\" &&
            ln -s \"$1\" \"$at/secrets/kubernetes.io/serviceaccount\" && shift && exec \"$@\"",
        );
        command
            .arg(self.0.path())
            .env_remove("KUBECONFIG")
            .env("HOME", self.0.path())
            .env("KUBERNETES_SERVICE_HOST", "127.0.0.1")
            .env("KUBERNETES_SERVICE_PORT", port.to_string());
        command
    }
}

/// A shell that may mount what it likes, and nobody else sees it.
fn in_a_mount_namespace(script: &str) -> Command {
    let mut command = Command::new("unshare");
    // Who is not root already is so in a namespace of users.
    if !can_mount(&mut Command::new("unshare")) {
        command.arg("--map-root-user");
    }
    command.args(["--mount", "sh", "-c", script, "sh"]);
    command
}

fn can_mount(unshare: &mut Command) -> bool {
    let tried = unshare
        .args(["--mount", "sh", "-c", "mount -t tmpfs none /mnt"])
        .stderr(Stdio::null())
        .status();
    tried.is_ok_and(|status| status.success())
}

/// Says so where no pod can be imitated.
fn is_possible() -> bool {
    let is_possible =
        can_mount(&mut Command::new("unshare")) || can_mount(Command::new("unshare").arg("--map-root-user"));
    if !is_possible {
        let text = b"SKIPPED: no watcher in a pod: unshare(1) may not mount here\n";
        std::io::stderr().write_all(text).unwrap();
    }
    is_possible
}

fn account() {
    if !is_possible() {
        return;
    }
    let server = server(&everything());
    let proxy = Proxy::before(&server);
    let account = Account::new(&proxy.certificate, "first");
    let watcher = Watcher::by(account.command(proxy.port), &["--watch-time", "1s"]);
    watcher.wait_until_said("watching ");
    assert_eq!(proxy.tokens(), ["first"]);
    account.renew("second");
    // A client reads the file again before a minute is over, as the API asks of it.
    wait_for("the next token", || {
        proxy.tokens().contains(&"second".to_owned()).then_some(())
    });
    server.apply(&[new_pod("late", "shop")]).unwrap();
    let has_seen_it = |tape: &Path| rows::<PodRow>(tape).iter().any(|row| row.name == "late");
    wait_for("the pod", || has_seen_it(&watcher.tape()).then_some(()));
    let ended = watcher.stop();
    assert!(ended.verdict().starts_with("complete: "), "{:?}", ended.said);
    assert_eq!(proxy.tokens(), ["first", "second"], "the old one is used no more");
}

fn stranger() {
    if !is_possible() {
        return;
    }
    let server = server(&everything());
    let (proxy, other) = (Proxy::before(&server), Proxy::before(&server));
    let account = Account::new(&other.certificate, "first");
    let watcher = Watcher::by(account.command(proxy.port), &[]);
    watcher.wait_until_said("certificate");
    assert!(proxy.tokens().is_empty(), "the token was shown to a stranger");
    drop(watcher);
}
