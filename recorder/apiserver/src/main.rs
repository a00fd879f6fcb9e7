//! `flowtape-apiserver`: see [`flowtape_apiserver`].

use clap::Parser as _;
use flowtape_apiserver::cli::{Cli, run};

fn main() -> std::io::Result<()> {
    run(Cli::parse())
}
