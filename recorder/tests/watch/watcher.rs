//! A watcher as a user starts it.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use flowtape_apiserver::process::ApiServer;

use crate::tape::wait_for;

/// A running `metadata --watch`; dropping it kills it.
pub(crate) struct Watcher {
    child: Child,
    said: Arc<Mutex<Vec<String>>>,
    reader: Option<std::thread::JoinHandle<()>>,
    home: tempfile::TempDir,
}

/// How it ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) said: Vec<String>,
    tape: PathBuf,
    _home: tempfile::TempDir,
}

impl Ended {
    /// The last line.
    pub(crate) fn verdict(&self) -> &str {
        self.said.last().map_or("", String::as_str)
    }

    pub(crate) fn tape(&self) -> &Path {
        &self.tape
    }
}

impl Watcher {
    /// Starts one that finishes its files every second.
    pub(crate) fn start(server: &ApiServer, options: &[&str]) -> Self {
        Self::with(&server.kubeconfig(), options)
    }

    /// The same with another kubeconfig.
    pub(crate) fn with(kubeconfig: &Path, options: &[&str]) -> Self {
        let kubeconfig = kubeconfig.to_str().unwrap();
        let by = Command::new("env");
        Self::by(by, &[&["--kubeconfig", kubeconfig], options].concat())
    }

    /// The same without a kubeconfig, run by another command.
    pub(crate) fn by(mut command: Command, options: &[&str]) -> Self {
        let home = tempfile::tempdir().unwrap();
        let mut child = command
            .arg(env!("CARGO_BIN_EXE_flowtape-recorder"))
            .args(["metadata", "--watch", "--rotation", "1s", "-o"])
            .arg(home.path().join("tape"))
            .args(options)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let said = Arc::new(Mutex::new(Vec::new()));
        let (stderr, lines) = (child.stderr.take().unwrap(), Arc::clone(&said));
        let reader = std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines() {
                lines.lock().unwrap().push(line.unwrap());
            }
        });
        Self {
            child,
            said,
            reader: Some(reader),
            home,
        }
    }

    /// Starts one and waits until everything is listed and every watch is open.
    pub(crate) fn watching(server: &ApiServer, options: &[&str]) -> Self {
        let watcher = Self::start(server, options);
        watcher.wait_until_said("watching ");
        watcher
    }

    pub(crate) fn tape(&self) -> PathBuf {
        self.home.path().join("tape")
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn said(&self) -> Vec<String> {
        self.said.lock().unwrap().clone()
    }

    /// Waits for a line that holds a text.
    pub(crate) fn wait_until_said(&self, text: &str) -> String {
        let said = || self.said().into_iter().find(|line| line.contains(text));
        wait_for(&format!("line with `{text}`"), said)
    }

    /// Waits for its end.
    pub(crate) fn end(mut self) -> Ended {
        let code = self.child.wait().unwrap().code();
        self.reader.take().unwrap().join().unwrap();
        Ended {
            code,
            said: self.said(),
            tape: self.tape(),
            _home: std::mem::replace(&mut self.home, tempfile::tempdir().unwrap()),
        }
    }

    /// Asks it to end, as `kubectl delete pod` does.
    pub(crate) fn stop(self) -> Ended {
        let asked = Command::new("kill").arg(self.pid().to_string()).status().unwrap();
        assert!(asked.success());
        self.end()
    }

    /// Kills it as nothing can refuse.
    pub(crate) fn kill(mut self) -> Ended {
        self.child.kill().unwrap();
        self.end()
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        // One that has ended cannot be killed, and need not be.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
