//! `flowtape-lab`: builds the cluster of a scenario on this machine and makes its traffic live.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use clap::{Parser, Subcommand};
use flowtape_lab::{Lab, agent, leftovers, preflight};
use flowtape_scenario::Scenario;

mod signals;

/// Build the cluster of a scenario from network namespaces and make its traffic live
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Build the cluster, make the traffic, remove everything
    Run {
        /// Scenario to read
        file: PathBuf,
        /// Directory for the cluster's objects, new or existing
        #[arg(short, long)]
        output: PathBuf,
        /// Wait until the command prints this, at most 30 seconds; two seconds where not given
        #[arg(long, value_name = "TEXT")]
        wait_for: Option<String>,
        /// Command to run during the traffic, such as a recorder; it is ended with SIGTERM
        #[arg(last = true)]
        command: Vec<String>,
    },
    /// Say what this machine lacks
    Check,
    /// Remove what killed labs left behind
    Clean,
    /// Be a process inside the cluster
    #[command(hide = true)]
    Agent {
        #[arg(long)]
        cgroup: PathBuf,
        #[arg(long)]
        netns: PathBuf,
        #[arg(long)]
        address: Vec<IpAddr>,
    },
}

fn main() -> ExitCode {
    let result = match Arguments::parse().verb {
        Verb::Run {
            file,
            output,
            wait_for,
            command,
        } => run(&file, &output, wait_for.as_deref(), &command),
        Verb::Check => check(),
        Verb::Clean => {
            let removed = leftovers::clean();
            say(&format!("removed {} labs", removed.len()));
            Ok(true)
        }
        Verb::Agent { cgroup, netns, address } => agent::run(&agent::Place {
            cgroup,
            netns,
            addresses: address,
        })
        .map(|()| true)
        .map_err(|error| format!("the agent failed: {error}")),
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(message) => {
            // Nothing is left to tell it to if standard error is closed.
            let _ = writeln!(std::io::stderr(), "error: {message}");
            ExitCode::from(2)
        }
    }
}

fn say(text: &str) {
    // A reader that has gone away needs no answer.
    let _ = writeln!(std::io::stdout(), "{text}");
}

fn check() -> Result<bool, String> {
    let missing = preflight::missing();
    if missing.is_empty() {
        say("this machine can hold a lab");
        return Ok(true);
    }
    Err(format!(
        "this machine cannot hold a lab:\n{}",
        preflight::explain(&missing)
    ))
}

/// Runs a scenario; the answer says whether everything became of it that it says.
fn run(file: &Path, output: &Path, wait_for: Option<&str>, command: &[String]) -> Result<bool, String> {
    let text = std::fs::read_to_string(file).map_err(|error| format!("cannot read `{}`: {error}", file.display()))?;
    let scenario = Scenario::parse(&text).map_err(|problems| format!("`{}`:\n{problems}", file.display()))?;
    std::fs::create_dir_all(output).map_err(|error| format!("cannot make `{}`: {error}", output.display()))?;
    signals::clean_up_on_interrupt();
    let mut lab = Lab::build(&scenario).map_err(|error| error.to_string())?;
    lab.start_servers().map_err(|error| error.to_string())?;
    write(&output.join("cluster.json"), &lab.kubernetes_json())?;
    let recorder = start(command, wait_for)?;
    let report = lab.run_traffic().map_err(|error| error.to_string());
    // What is in flight reaches the recorder before it is asked to stop.
    std::thread::sleep(Duration::from_millis(300));
    let stopped = recorder.map_or(Ok(true), stop)?;
    for (nth, snapshot) in lab.snapshots().iter().enumerate() {
        let name = if nth == 0 {
            "cluster.json".to_owned()
        } else {
            format!("cluster-{}.json", nth + 1)
        };
        write(&output.join(&name), &snapshot.json)?;
        say(&format!("metadata {}@{}", output.join(name).display(), snapshot.time));
    }
    let report = report?;
    say(report.to_string().trim_end());
    Ok(report.ok() && stopped)
}

fn write(path: &Path, text: &str) -> Result<(), String> {
    std::fs::write(path, text).map_err(|error| format!("cannot write `{}`: {error}", path.display()))
}

/// Starts the command and waits until it is ready.
fn start(command: &[String], wait_for: Option<&str>) -> Result<Option<Child>, String> {
    let Some((program, arguments)) = command.split_first() else {
        return Ok(None);
    };
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| format!("cannot run `{program}`: {error}"))?;
    let (sender, receiver) = mpsc::sync_channel(1);
    let wanted = wait_for.map(str::to_owned);
    if let Some(errors) = child.stderr.take() {
        // It reads for as long as the command writes: a full pipe would stop it.
        std::thread::spawn(move || {
            for line in BufReader::new(errors).lines().map_while(Result::ok) {
                if wanted.as_ref().is_some_and(|wanted| line.contains(wanted)) {
                    let _ = sender.try_send(());
                }
                let _ = writeln!(std::io::stderr(), "{line}");
            }
        });
    }
    let Some(wanted) = wait_for else {
        std::thread::sleep(Duration::from_secs(2));
        return Ok(Some(child));
    };
    if receiver.recv_timeout(Duration::from_secs(30)).is_err() {
        let _ = child.kill();
        let _ = child.wait();
        return Err(format!("`{program}` did not print `{wanted}` on standard error"));
    }
    Ok(Some(child))
}

/// Asks the command to end and says whether it did so with success.
fn stop(mut child: Child) -> Result<bool, String> {
    if let Ok(pid) = libc::pid_t::try_from(child.id()) {
        // SAFETY: kill takes two numbers; the child has not been waited for, so the number is still its own.
        unsafe { libc::kill(pid, libc::SIGTERM) };
    }
    let status = child
        .wait()
        .map_err(|error| format!("cannot wait for the command: {error}"))?;
    if !status.success() {
        say(&format!("the command ended with {status}"));
    }
    Ok(status.success())
}
