//! A cluster that is not there: an API server, nodes with what their pods hold, and the plugin as a process.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use flowtape_apiserver::kubelet::{HOME, SCRIPT};
use flowtape_apiserver::process::ApiServer;
use flowtape_schemas::manifest::{MANIFEST_FILE, Manifest};
use flowtape_schemas::validate::check_file;
use serde_json::{Value, json};

/// First argument that makes this program the API server.
pub(crate) const SERVER: &str = "scripted-api-server";

/// How long anything may take on a machine that has much to do.
const PATIENCE: Duration = Duration::from_mins(2);

/// A cluster and a directory for everything else.
pub(crate) struct Stage {
    pub(crate) server: ApiServer,
    pub(crate) home: tempfile::TempDir,
}

impl Stage {
    /// A cluster with nodes `n1` and `n2`.
    pub(crate) fn new() -> Self {
        let server = ApiServer::start(|| {
            let mut command = Command::new(std::env::current_exe().unwrap());
            command
                .arg(SERVER)
                .arg("--program")
                .arg(env!("CARGO_BIN_EXE_flowtape-recorder"));
            command
        });
        let stage = Self {
            server: server.unwrap(),
            home: tempfile::tempdir().unwrap(),
        };
        for name in ["n1", "n2"] {
            stage.furnish(name);
            stage.node(name, "ready");
        }
        stage
    }

    /// Where the pods of a node keep what they hold; `owner` is `DaemonSet` or `Deployment`.
    pub(crate) fn pod_home(&self, node: &str, owner: &str) -> PathBuf {
        self.home.path().join("nodes").join(node).join(owner)
    }

    /// Applies a node whose pod follows a script.
    pub(crate) fn node(&self, name: &str, script: &str) {
        let home = self.home.path().join("nodes").join(name);
        let annotations = json!({SCRIPT: script, HOME: home.display().to_string()});
        let node = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "annotations": annotations}});
        self.server.apply(&[node]).unwrap();
    }

    /// Gives a node's pods what a recorder would have left: the committed tape, as if this node had recorded `n1`'s part.
    pub(crate) fn furnish(&self, name: &str) {
        let tape = Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/tapes/dvwa");
        let whole = Manifest::parse(&fs::read(tape.join(MANIFEST_FILE)).unwrap()).unwrap();
        for (owner, from, to) in [
            ("DaemonSet", "node=n1", format!("node={name}")),
            ("Deployment", "cluster", "cluster".to_owned()),
        ] {
            let home = self.pod_home(name, owner);
            let recording = home.join("recording-000001");
            fs::create_dir_all(recording.join(&to)).unwrap();
            let mut manifest = whole.clone();
            manifest.files.retain(|file| file.path.starts_with(from));
            for file in &mut manifest.files {
                let here = file.path.replace(from, &to);
                fs::copy(tape.join(&file.path), recording.join(&here)).unwrap();
                file.path = here;
            }
            manifest.nodes.retain(|node| owner == "DaemonSet" && node.name == "n1");
            for node in &mut manifest.nodes {
                name.clone_into(&mut node.name);
            }
            manifest.cluster = manifest.cluster.filter(|_| owner == "Deployment");
            fs::write(recording.join(MANIFEST_FILE), manifest.render().unwrap()).unwrap();
            fs::write(home.join("ended"), "complete: 30.0 s").unwrap();
        }
    }

    /// Where the plugin is told to write the tape.
    pub(crate) fn tape(&self) -> PathBuf {
        self.home.path().join("my-tape")
    }

    /// Starts a verb of the plugin.
    pub(crate) fn start(&self, arguments: &[&str]) -> Plugin {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kubectl-flowtape"));
        command
            .args(arguments)
            .arg("--kubeconfig")
            .arg(self.server.kubeconfig());
        let mut child = command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let (lines, said) = channel();
        let stderr = child.stderr.take().unwrap();
        thread::spawn(move || {
            for line in BufReader::new(stderr).lines() {
                if line.is_ok_and(|line| lines.send(line).is_err()) {
                    break;
                }
            }
        });
        Plugin {
            child,
            lines: said,
            said: Vec::new(),
        }
    }

    /// Starts `record` with what every case needs.
    pub(crate) fn record(&self, more: &[&str]) -> Plugin {
        let (image, tape) = (format!("flowtape-recorder@sha256:{}", "a".repeat(64)), self.tape());
        let fixed = ["record", "--image", &image, "-o", tape.to_str().unwrap()];
        self.start(&[&fixed, more].concat())
    }

    /// Objects of the server that are not its nodes.
    pub(crate) fn leftovers(&self) -> Vec<String> {
        let objects = self.server.tell("objects").unwrap();
        let name = |object: &Value| format!("{} {}", object["kind"], object["metadata"]["name"]);
        let all = objects.as_array().unwrap().iter();
        all.filter(|object| object["kind"] != "Node").map(name).collect()
    }

    pub(crate) fn assert_nothing_is_left(&self) {
        assert_eq!(self.leftovers(), Vec::<String>::new());
    }

    /// The manifest of the tape, every file of which is as the manifest and the schema say.
    pub(crate) fn valid_tape(&self) -> Manifest {
        let tape = self.tape();
        let manifest = Manifest::parse(&fs::read(tape.join(MANIFEST_FILE)).unwrap()).unwrap();
        for file in &manifest.files {
            let content = fs::read(tape.join(&file.path)).unwrap();
            let problems = check_file(&file.table, &content.into(), Some(file));
            assert!(problems.is_empty(), "{}: {problems:?}", file.path);
        }
        assert!(!self.home.path().join("my-tape.incoming").exists());
        manifest
    }
}

/// The plugin while it runs.
pub(crate) struct Plugin {
    child: Child,
    lines: Receiver<String>,
    said: Vec<String>,
}

impl Plugin {
    /// Waits until it says a line with this in it.
    pub(crate) fn wait_for(&mut self, part: &str) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let Ok(line) = self.lines.recv_timeout(left) else {
                panic!("it never said `{part}`, but:\n{}", self.said.join("\n"));
            };
            let is_it = line.contains(part);
            self.said.push(line);
            if is_it {
                return;
            }
        }
    }

    /// Ctrl-C.
    pub(crate) fn interrupt(&self) {
        let killed = Command::new("kill")
            .args(["-INT", &self.child.id().to_string()])
            .status();
        assert!(killed.unwrap().success());
    }

    /// Waits for its end; gives its exit code and all that it said.
    pub(crate) fn end(mut self) -> (Option<i32>, String) {
        let deadline = Instant::now() + PATIENCE;
        while self.child.try_wait().unwrap().is_none() {
            assert!(Instant::now() < deadline, "it does not end");
            thread::sleep(Duration::from_millis(20));
        }
        self.said.extend(self.lines.iter());
        (self.child.wait().unwrap().code(), self.said.join("\n"))
    }
}

impl Drop for Plugin {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
