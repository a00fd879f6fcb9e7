//! bpftrace, running one of our scripts.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::Outcome;

/// How long bpftrace may take to compile and attach.
const PATIENCE: Duration = Duration::from_mins(1);

/// Finds its tracepoints in tracefs, which is mounted for this process only where the machine has none.
const START: &str =
    "mountpoint -q /sys/kernel/tracing || mount -t tracefs none /sys/kernel/tracing; exec bpftrace \"$0\"";

/// A script that prints into a file.
pub(crate) struct Rival {
    child: Child,
    home: tempfile::TempDir,
}

/// Says why there is no rival here.
pub(crate) fn missing() -> Option<String> {
    let found = Command::new("bpftrace").arg("--version").output();
    found
        .err()
        .map(|error| format!("no `bpftrace` to compare with ({error}); apt-get install bpftrace"))
}

impl Rival {
    /// Starts a script and waits until it prints what sockets do.
    pub(crate) fn start(script: &str) -> Outcome<Self> {
        let home = tempfile::tempdir()?;
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("rival").join(script);
        let child = Command::new("unshare")
            .args(["--mount", "sh", "-c", START])
            .arg(script)
            .stdin(Stdio::null())
            .stdout(File::create(home.path().join("printed"))?)
            .stderr(File::create(home.path().join("said"))?)
            .spawn()?;
        let mut rival = Self { child, home };
        let began = Instant::now();
        while !rival.printed()?.contains(" listen ") {
            if began.elapsed() > PATIENCE || rival.child.try_wait()?.is_some() {
                let said = fs::read_to_string(rival.home.path().join("said"))?;
                return Err(format!("bpftrace prints nothing: {said}").into());
            }
            // Something to print.
            std::net::TcpListener::bind(("127.0.0.1", 0))?;
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(rival)
    }

    /// Ends it.
    pub(crate) fn stop(mut self) -> Outcome {
        self.interrupt()?;
        let printed = self.printed()?;
        if !printed.contains(" connect ") && !printed.contains(" udp_out ") {
            return Err("bpftrace printed nothing of the traffic".into());
        }
        Ok(())
    }

    fn printed(&self) -> Outcome<String> {
        let path: PathBuf = self.home.path().join("printed");
        Ok(String::from_utf8_lossy(&fs::read(path)?).into_owned())
    }

    fn interrupt(&mut self) -> Outcome {
        if self.child.try_wait()?.is_some() {
            return Ok(());
        }
        let process = libc::pid_t::try_from(self.child.id())?;
        // SAFETY: no pointers are involved, and the child did not end yet, so the number is its own.
        unsafe { libc::kill(process, libc::SIGINT) };
        self.child.wait()?;
        Ok(())
    }
}

impl Drop for Rival {
    fn drop(&mut self) {
        // There is nobody to tell, and one that ended needs no ending.
        let _ = self.interrupt();
    }
}
