//! `flowtape-recorder metadata --watch` against an API server process that does what clusters do to their clients.
//!
//! Each test tells the server what to change and what to break, and compares the intervals of the tape with that.
#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod cluster;
mod proxy;
mod tape;
mod test_access;
mod test_fault;
mod test_gap;
mod test_life;
mod test_pod;
mod test_real;
mod watcher;

use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitCode};

use clap::Parser as _;
use flowtape_apiserver::cli::{Cli, run};
use flowtape_apiserver::process::ApiServer;
use libtest_mimic::{Arguments, Trial};

/// Tests at a time.
const THREADS: usize = 6;

/// The name under which this executable is the API server.
const APISERVER: &str = "flowtape-apiserver";

fn main() -> ExitCode {
    if std::env::args_os().next().is_some_and(|name| name == APISERVER) {
        run(Cli::parse()).unwrap();
        return ExitCode::SUCCESS;
    }
    let tests = [
        // The longest first.
        test_pod::tests(),
        test_gap::tests(),
        test_life::tests(),
        test_fault::tests(),
        test_access::tests(),
        test_real::tests(),
    ];
    let mut arguments = Arguments::from_args();
    // They wait for other processes most of the time.
    arguments.test_threads = arguments.test_threads.or(Some(THREADS));
    libtest_mimic::run(&arguments, tests.into_iter().flatten().collect()).exit_code()
}

/// A test that fails by panicking.
fn test(name: &str, body: fn()) -> Trial {
    Trial::test(name, move || {
        body();
        Ok(())
    })
}

/// An API server with these objects.
fn server(objects: &[serde_json::Value]) -> ApiServer {
    let server = ApiServer::start(|| {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.arg0(APISERVER);
        command
    });
    let server = server.unwrap();
    server.apply(objects).unwrap();
    server
}
