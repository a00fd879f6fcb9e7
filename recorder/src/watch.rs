//! `flowtape-recorder metadata --watch`: follows a cluster's objects and writes their versions.
//!
//! One follower per resource lists and watches ([`follow`]) and tells what it learns; one collector ([`collect`]) keeps the
//! history and writes the tape. An object is reduced to the allow-list of `schemas` before anything else happens to it.
//!
//! The client of `kube` does connections, TLS and credentials. Lists and watches are our own, since the times of a tape
//! depend on when exactly a watch was lost and found.

mod backoff;
mod cluster_tape;
mod collect;
mod follow;
mod known;
mod news;
mod report;
mod request;
mod resource;

use std::time::Duration;

use anyhow::Context as _;
use flowtape_schemas::manifest::{Manifest, Origin};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use tokio::sync::mpsc;

use crate::cli::WatchArgs;
use crate::exit::Exit;
use crate::output;
use crate::shutdown::{self, Deadline, Reason};
use crate::tape::{Target, tape_id, tool, write_manifest};
use cluster_tape::ClusterTape;
use collect::{Collected, Collector};
use follow::Follower;
use news::Timeline;
use report::Report;
use request::Api;
use resource::Scope;

pub use resource::{Resource, VERBS, WATCHED};

/// News on their way to the collector.
const QUEUE: usize = 1_024;

/// Runs the verb.
pub fn run(arguments: &WatchArgs, target: Target) -> anyhow::Result<Exit> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?
        .block_on(watch(arguments, target))
}

async fn watch(arguments: &WatchArgs, target: Target) -> anyhow::Result<Exit> {
    let api = Api(client(arguments).await?);
    shutdown::listen().context("cannot listen for signals")?;
    let tape = target.path().to_owned();
    let timeline = Timeline::begin();
    let deadline = Deadline::after(arguments.duration);
    let scopes = Scope::all(&arguments.namespaces);
    let (news, heard) = mpsc::channel(QUEUE);
    for (number, scope) in scopes.iter().enumerate() {
        let follower = Follower::new(
            number,
            scope.clone(),
            api.clone(),
            timeline,
            arguments.watch_time,
            news.clone(),
        );
        tokio::spawn(follower.run());
    }
    drop(news);
    let collector = Collector::new(timeline, scopes, ClusterTape::new(target));
    let Collected {
        files,
        recording,
        objects,
        reason,
    } = collector.run(heard, deadline, arguments.rotation).await?;

    let mut manifest = Manifest::new(tool(), Origin::Recorded, tape_id(&files));
    let rows = files.iter().map(|file| file.rows).sum();
    manifest.files = files;
    manifest.cluster = Some(recording.clone());
    write_manifest(&tape, &manifest)?;
    let report = Report {
        recording: &recording,
        rows,
        objects,
    };
    if reason == Reason::Asked {
        output::say("stopped as asked");
    }
    output::say(&report);
    Ok(if arguments.strict && !report.is_complete() {
        Exit::Found
    } else {
        Exit::Done
    })
}

/// A client of the cluster that a kubeconfig names, or that this process runs in.
async fn client(arguments: &WatchArgs) -> anyhow::Result<Client> {
    let options = KubeConfigOptions {
        context: arguments.context.clone(),
        ..KubeConfigOptions::default()
    };
    let mut config = if let Some(file) = &arguments.kubeconfig {
        let kubeconfig = Kubeconfig::read_from(file).with_context(|| format!("cannot read `{}`", file.display()))?;
        let config = Config::from_custom_kubeconfig(kubeconfig, &options).await;
        config.with_context(|| format!("`{}` does not lead to a cluster", file.display()))?
    } else if arguments.context.is_some() {
        let config = Config::from_kubeconfig(&options).await;
        config.context("the kubeconfig does not lead to a cluster; name another with --kubeconfig")?
    } else {
        let config = Config::infer().await;
        config.context("no kubeconfig and no service account leads to a cluster; name one with --kubeconfig")?
    };
    // Followers try again themselves, since they must know since when they have no watch.
    config.default_retry = false;
    config.connect_timeout = Some(Duration::from_secs(10));
    Client::try_from(config).context("cannot make a client of the API server")
}
